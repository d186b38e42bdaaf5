'use strict';
// Metrics of prom-client in the programs, as the master's page shows them for all nodes together.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { listen } = require('..');
const { COMMAND, folder, freePort, program, until } = require('./program.js');

/** Each request counts itself; of the gauges the slots tell 1 and 2. */
const SOURCE = `
  const http = require("http");
  const { Counter, Gauge, Histogram, Registry, Summary, collectDefaultMetrics } = require("prom-client");
  const register = new Registry();
  const registers = [register];
  const sent = new Counter({ name: "sent_bytes_total", help: "Bytes \\\\ sent.\\nAll.", labelNames: ["to"], registers });
  const seconds = new Histogram({ name: "answer_seconds", help: "Time.", buckets: [0.25, 1.5, 40], labelNames: ["code"], registers });
  const sizes = new Summary({ name: "answer_bytes", help: "Sizes.", labelNames: ["code"], percentiles: [0.5], registers });
  const server = http.createServer((request, response) => {
    sent.inc({ to: 'a "b"\\\\\\n' }, 0.25);
    seconds.observe({ code: 200 }, 1);
    sizes.observe({ code: 200 }, 0.5);
    response.end("hello from " + process.pid);
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, metrics: "127.0.0.1:" + process.env.METRICS, peers: process.argv[2] !== "alone", backoff: [10, 10] }, server);
  for (const aggregator of ["sum", "first", "min", "max", "average", "omit"]) {
    new Gauge({ name: "of_" + aggregator, help: "A gauge.", aggregator, registers }).set((nodes.slot ?? 9) + 1);
  }
  const rooms = new Gauge({ name: "rooms", help: "Rooms.", labelNames: ["room"], registers });
  rooms.set({ room: "hall" }, 1);
  new Counter({ name: "multi_node_requests_total", help: "Not ours.", registers });
  new Gauge({ name: "sent_bytes", help: "No number.", registers }).set(NaN);
  nodes.metrics(register);
  if (process.argv[2] === "all") {
    collectDefaultMetrics({ register });
    setInterval(gc, 50).unref();
    const broken = new Registry();
    new Gauge({ name: "broken", help: "Broken.", registers: [broken], collect: () => Promise.reject(new Error("as ordered")) });
    const hung = new Registry();
    new Gauge({ name: "hung", help: "Hung.", registers: [hung], collect: () => new Promise(() => undefined) });
    nodes.metrics(broken, hung, { getMetricsAsJSON: async () => 5 });
  }
  if (process.argv[2] === "alone" && !nodes.isMaster) nodes.on("drain", () => server.close());
  if (nodes.isMaster) process.stdin.on("data", (line) => command(String(line).trim()));
  nodes.on("node", (stream) => stream.isMaster && stream.on("data", () => rooms.reset()));
  async function command(line) {
    if (line === "empty") nodes.peers.forEach((stream) => stream.write("empty"));
    else await eval(line);
    console.log("done " + line);
  }
`;

/** A page, read as strictly as Prometheus reads it: families by name, and samples by name and labels as they are written. */
function parse(page) {
  const families = new Map();
  const samples = new Map();
  let family;
  for (const line of page.trimEnd().split('\n')) {
    const about = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line);
    if (about) {
      const [, what, name, text] = about;
      if (what === 'HELP') {
        assert.ok(!families.has(name), `${name} comes twice`);
        family = { name, help: text };
        families.set(name, family);
      } else {
        assert.equal(family.name, name);
        family.type = text;
      }
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\[\\"n])*",?)*\})? (NaN|[+-]Inf|-?\d+(?:\.\d+)?)$/.exec(line);
    assert.ok(sample, `this is no sample: ${line}`);
    const [, name, labels = '', value] = sample;
    const suffixes = { histogram: ['_bucket', '_sum', '_count'], summary: ['_sum', '_count'] }[family.type] ?? [''];
    assert.ok(suffixes.some((suffix) => name === family.name + suffix), `${name} among ${family.name}`);
    assert.ok(!samples.has(name + labels), `${name}${labels} comes twice`);
    samples.set(name + labels, Number(value.replace('Inf', 'Infinity')));
  }
  checkBuckets(families, samples);
  return { families, samples };
}

function checkBuckets(families, samples) {
  for (const { name } of [...families.values()].filter(({ type }) => type === 'histogram')) {
    let last = 0;
    for (const [sample, value] of samples) {
      if (!sample.startsWith(`${name}_bucket`)) continue;
      assert.ok(value >= last, `${sample} is lower than the bucket before`);
      last = value;
      if (!sample.includes('le="+Inf"')) continue;
      const labels = sample.slice(`${name}_bucket`.length).replace(/,?le="\+Inf"/, '').replace('{}', '');
      assert.equal(samples.get(`${name}_count${labels}`), value);
      last = 0;
    }
    assert.equal(last, 0, `${name} has no bucket for all`);
  }
}

async function measuring(t, options = {}) {
  const metrics = await freePort();
  const server = await program(t, SOURCE, { ...options, env: { ...options.env, METRICS: String(metrics) } });
  await server.pidsOf(2);
  const text = () => server.get('/metrics', { port: metrics });
  let last = new Map();
  /** The page as it is now; no counter is lower than it was. */
  server.page = async () => {
    const page = parse(await text());
    for (const [name, before] of last) {
      if (/_(total|bucket|count)(\{|$)/.test(name)) assert.ok(page.samples.get(name) >= before, `${name} was ${before}, and is ${page.samples.get(name)}`);
    }
    last = page.samples;
    return page;
  };
  server.told = (what, condition) => until(what, async () => {
    const page = await server.page();
    return condition(page.samples) ? page : null;
  });
  server.command = async (line) => {
    server.stdin.write(`${line}\n`);
    await until(line, () => server.output.includes(`done ${line}`));
  };
  return server;
}

const SENT = 'sent_bytes_total{to="a \\"b\\"\\\\\\n"}';
const counted = (samples) => samples.get('answer_seconds_count{code="200"}') ?? 0;

test('all kinds of metrics are told of all nodes together', async (t) => {
  const server = await measuring(t);
  const both = (samples) => samples.get('of_sum') === 3 && samples.get(SENT) * 4 === counted(samples);
  await server.told('both nodes', both);
  const before = counted((await server.page()).samples);
  for (let count = 0; count < 10; count += 1) await server.get('/');
  const { families, samples } = await server.told('ten requests', (now) => counted(now) >= before + 10 && both(now));
  const all = counted(samples);
  assert.deepEqual(families.get('sent_bytes_total'), { name: 'sent_bytes_total', help: 'Bytes \\\\ sent.\\nAll.', type: 'counter' });
  const buckets = ['0.25', '1.5', '40', '+Inf'].map((bound) => samples.get(`answer_seconds_bucket{code="200",le="${bound}"}`));
  assert.deepEqual(buckets, [0, all, all, all]);
  assert.equal(families.get('answer_bytes').type, 'summary');
  assert.deepEqual([samples.get('answer_bytes_sum{code="200"}'), samples.get('answer_bytes_count{code="200"}')], [all / 2, all]);
  const gauges = ['sum', 'first', 'min', 'max', 'average', 'omit'].map((rule) => samples.get(`of_${rule}`));
  assert.deepEqual(gauges, [3, 1, 1, 2, 1.5, undefined]);
  assert.equal(samples.get('rooms{room="hall"}'), 2);
  assert.ok(Number.isNaN(samples.get('sent_bytes')));

  await server.command('empty');
  await server.told('no room', (now) => !now.has('rooms{room="hall"}'));
  await server.says(/MULTI_NODE_METRICS.*`multi_node_requests_total` is not told: names that begin with `multi_node_` are/);
  assert.equal(server.output.match(/is not told/g).length, 2, 'once in each node');
  assert.equal(await server.stop(), 0);
});

test('no counter goes backwards, and nothing is lost but by a kill', async (t) => {
  // Without peers and a server only the last report of metrics keeps a node alive.
  const server = await measuring(t, { args: ['alone'] });
  for (const line of ['nodes.reload()', 'nodes.scale(1)', 'nodes.scale(3)']) {
    const before = counted((await server.told('what was sent', (now) => now.get(SENT) * 4 === counted(now))).samples);
    for (let count = 0; count < 20; count += 1) await server.get('/');
    // Most nodes have not reported these yet, and some end now.
    await server.command(line);
    await server.told('all of them', (now) => counted(now) >= before + 20);
  }
  const [pid] = await server.pidsOf(3);
  const { samples } = await server.page();
  process.kill(pid, 'SIGKILL');
  await until('another node', async () => (await server.page()).samples.get('multi_node_restarts_total') === 1);
  await server.pidsOf(3);
  await server.told('what comes after', (now) => counted(now) > counted(samples));
  assert.equal(await server.stop(), 0);
});

test('default metrics are told, and registers that fail or hang keep nothing else from it', async (t) => {
  const server = await measuring(t, { args: ['all'], flags: ['--expose-gc'] });
  const collected = 'nodejs_gc_duration_seconds_count{kind="major"}';
  const { families, samples } = await server.told('both nodes', (now) => now.get('of_sum') === 3 && now.get(collected) > 0);
  assert.equal(families.get('process_cpu_seconds_total').type, 'counter');
  assert.equal(families.get('nodejs_gc_duration_seconds').type, 'histogram');
  const [major, minor, patch] = process.versions.node.split('.');
  assert.equal(samples.get(`nodejs_version_info{version="${process.version}",major="${major}",minor="${minor}",patch="${patch}"}`), 1);
  assert.ok(!families.has('process_start_time_seconds'), 'prom-client leaves it out');
  assert.ok(!samples.has('broken') && !samples.has('hung'));
  await server.says(/a register could not tell what it has measured: as ordered/);
  await server.says(/a register could not tell what it has measured: no answer within 500 ms/);
  const began = Date.now();
  assert.equal(await server.stop(), 0);
  assert.ok(Date.now() - began < 5000, 'the end waits for no register');
});

test('what is no register is refused, and a single process takes one and tells nothing', (t, done) => {
  const server = require('node:http').createServer();
  const nodes = listen({ port: 0, nodes: 0, signals: false }, server);
  for (const wrong of [[], [undefined], [{}], ['register'], [require('prom-client').register, null]]) {
    assert.throws(() => nodes.metrics(...wrong), { name: 'TypeError', code: 'ERR_MULTI_NODE_REGISTER' });
  }
  nodes.metrics(require('prom-client').register);
  nodes.ready().then(() => nodes.shutdown()).then(done, done);
});

test('under `multi-node run` the command tells of it', async (t) => {
  const cwd = folder(t);
  const metrics = await freePort();
  const env = { XDG_RUNTIME_DIR: cwd, METRICS: '0' };
  const under = [COMMAND, 'run', '-n', '2', '--name', 'metrics-test', '--metrics', `127.0.0.1:${metrics}`, '--'];
  const server = await program(t, SOURCE, { cwd, env, under });
  await server.pidsOf(2);
  await until('both nodes', async () => parse(await server.get('/metrics', { port: metrics })).samples.get('of_sum') === 3);
  const { samples } = parse(await server.get('/metrics', { port: metrics }));
  assert.deepEqual([samples.get('of_max'), samples.has('of_omit')], [2, false], 'the rules come from the program');
  assert.equal(await server.stop(), 0);
});
