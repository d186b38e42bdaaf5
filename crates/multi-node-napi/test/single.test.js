'use strict';
// One process serves, by the same API.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { folder, freePort, program, until } = require('./program.js');

const ELSEWHERE = { flags: ['--require', './elsewhere.js'], files: { 'elsewhere.js': 'Object.defineProperty(process, "platform", { value: "plan9" });' } };

/** A process that says that it is another runtime. */
function versionOf(name) {
  const file = `Object.defineProperty(process.versions, "${name}", { value: "1.0.0", enumerable: true });`;
  return { flags: ['--require', './runtime.js'], files: { 'runtime.js': file } };
}

const SOURCE = (options) => `
  const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
  const nodes = require("@multi-node/server").listen({ port: PORT, drainTimeout: 5000, ${options} }, server);
  for (const event of ["listening", "ready", "drain", "close"]) nodes.on(event, () => console.log("event", event));
  const tell = async (name, ...args) => console.log(name, await nodes[name](...args).then(() => "done", ({ code }) => code));
  console.log("is", nodes.id, nodes.isMaster, nodes.slot, nodes.peers.length);
  (async () => {
    await tell("ready");
    for (const [name, ...args] of [["reload"], ["upgrade"], ["restart", 0], ["scale", 2]]) await tell(name, ...args);
  })();
  process.on("SIGUSR2", async () => {
    const { ready, wanted, slots } = await nodes.status();
    console.log("status", ready, wanted, slots.length, slots[0].id, slots[0].pid === process.pid, slots[0].state, slots[0].requests);
    await tell("shutdown");
    await tell("ready");
    await tell("reload");
  });
`;

test('who serves alone cannot serve as another user', async (t) => {
  for (const options of ['nodes: 0, user: "nobody"', 'nodes: 0, group: 1']) {
    const server = await program(t, SOURCE(options));
    assert.equal(await server.ended, 1);
    assert.match(server.output, /option `(user|group)`: .* expected nodes: this process serves alone, with its own privileges/);
  }
});

for (const [how, options, given] of [
  ['nodes: 0', 'nodes: 0', {}],
  ['nodes: 0 and a page of metrics', 'nodes: 0, metrics: "127.0.0.1:METRICS"', {}],
  ['MULTI_NODE=off', 'nodes: 2', { env: { MULTI_NODE: 'off' } }],
  ['MULTI_NODE=off and a page of metrics', 'nodes: 2, metrics: "127.0.0.1:METRICS"', { env: { MULTI_NODE: 'off' } }],
  ['another system', 'nodes: 2', ELSEWHERE],
  ['Bun', 'nodes: 2', versionOf('bun')],
  ['MULTI_NODE=off in Deno', 'nodes: 2', { ...versionOf('deno'), env: { MULTI_NODE: 'off' } }],
  ['MULTI_NODE=off and a broken binary', 'nodes: 2', { env: { MULTI_NODE: 'off', MULTI_NODE_BINARY: '/nowhere.node' } }],
]) {
  test(`one process serves with ${how}`, async (t) => {
    const metrics = await freePort();
    const server = await program(t, SOURCE(options.replace('METRICS', metrics)), given);
    await server.says(/^is master true null 0$/m);
    await server.says(/^event ready$/m);
    await server.says(/^ready done$/m);
    for (const command of ['reload', 'upgrade', 'restart', 'scale']) await server.says(new RegExp(`^${command} ERR_MULTI_NODE_SINGLE_PROCESS$`, 'm'));
    assert.equal(await server.get('/'), `hello from ${server.pid}`);
    if (options.includes('metrics')) {
      await until('a counted request', async () => /^multi_node_requests_total 1$/m.test(await server.get('/metrics', { port: metrics })));
      assert.match(await server.get('/healthz', { port: metrics }), /answers/);
    }
    server.kill('SIGUSR2');
    await server.says(/^status true 1 1 master true serving 1$/m);
    await server.says(/^shutdown done$/m);
    await server.says(/^ready ERR_MULTI_NODE_\w+$/m);
    await server.says(/^reload ERR_MULTI_NODE_S\w+$/m);
    assert.equal(server.output.match(/^event \w+$/gm).join(), 'event listening,event ready,event drain,event close');
    assert.equal(await server.ended, 0, 'nothing else keeps it');
  });

  test(`a request is answered to its end in a shutdown with ${how}`, async (t) => {
    const source = SOURCE(options.replace('METRICS', await freePort()));
    const handler = '{ console.log("begins"); setTimeout(() => response.end("slow"), 300); }';
    // Calls in the meantime change nothing.
    const slow = `${source.replace('response.end("hello from " + process.pid)', handler)} nodes.on("drain", () => tell("reload"));`;
    const server = await program(t, slow, given);
    await server.says(/^ready done$/m);
    const answer = server.get('/').catch((error) => `${error.code}; it says:\n${server.output}`);
    await server.says(/^begins$/m);
    assert.equal(await server.stop(), 0);
    assert.equal(await answer, 'slow');
  });
}

for (const [what, given, says] of [
  ['cannot be loaded', { env: { MULTI_NODE_BINARY: '/nowhere.node' } }, /its binary \/nowhere\.node cannot be loaded: /],
  ['is forbidden', { flags: ['--no-addons'] }, /this process may load no addons; start it with `--allow-addons`/],
]) {
  test(`a binary that ${what} is an error that says how to serve in one process`, async (t) => {
    const server = await program(t, SOURCE('nodes: 2'), given);
    assert.equal(await server.ended, 1);
    assert.match(server.output, says);
    assert.match(server.output, /ERR_MULTI_NODE_NO_BINARY/);
    assert.match(server.output, /\{ nodes: 0 \} or MULTI_NODE=off serves in this process/);
  });
}

test('a bundle says that the package has to be left out of it', async (t) => {
  const cwd = folder(t);
  fs.cpSync(path.join(__dirname, '../js'), path.join(cwd, 'bundled/js'), { recursive: true });
  const server = await program(t, SOURCE('nodes: 2').replace('require("@multi-node/server")', 'require("./bundled/js")'), { cwd });
  assert.equal(await server.ended, 1);
  assert.match(server.output, /was bundled, and its binary was not; leave it out of the bundle/);
});

test('without a binary it is said that nodes and the page of metrics are missing', async (t) => {
  const server = await program(t, SOURCE('metrics: "127.0.0.1:1", control: "name"'), ELSEWHERE);
  await server.says(/MULTI_NODE_SINGLE_PROCESS.*one process serves: nodes need Linux/);
  await server.says(/MULTI_NODE_SINGLE_PROCESS.*`metrics`, `control` has no effect: nodes need Linux/);
  await server.says(/^ready done$/m);
  assert.equal(await server.stop(), 0);
});

test('an address in use ends a single process too', async (t) => {
  const taken = await program(t, SOURCE('nodes: 0'));
  await taken.says(/^ready done$/m);
  const source = SOURCE('nodes: 0').replaceAll('PORT', String(taken.port)) + 'server.on("error", ({ code }) => console.log("heard", code));';
  const server = await program(t, source);
  await server.says(/^heard EADDRINUSE$/m);
  await server.says(/^ready EADDRINUSE$/m);
  assert.equal(await server.ended, 0);
  assert.equal(await taken.stop(), 0);
});

test('a single process gives its Unix socket the mode that was asked for', async (t) => {
  const server = await program(t, SOURCE('nodes: 0, addresses: "unix:" + __dirname + "/socket", unixMode: 0o600'));
  await server.says(/^ready done$/m);
  const socketPath = path.join(server.folder, 'socket');
  assert.equal(fs.statSync(socketPath).mode & 0o777, 0o600);
  assert.equal(await server.get('/', { socketPath }), `hello from ${server.pid}`);
  assert.equal(await server.stop(), 0);
});

test('topics, requests, leases, limits, counters and gauges need no binary', async (t) => {
  const server = await program(t, `
    const { RateLimitStore } = require("@multi-node/server/rate-limit");
    const app = require("express")();
    app.get("/", require("express-rate-limit").rateLimit({ limit: 1, windowMs: 60000, store: new RateLimitStore() }), (request, response) => response.end("fine"));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, app);
    const room = nodes.topic("room", { history: 2 });
    room.on("message", (value, { from }) => console.log("heard", value, from));
    for (const value of [1, 2, 3]) room.publish(value);
    nodes.topic("room", { history: 2 }).on("message", (value) => console.log("late", value));
    nodes.respond("double", (value, { from }) => 2 * value);
    nodes.request("double", 21, { to: 0 }).then((value) => console.log("answer", value));
    nodes.leader("job", (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(console.log("lost")))));
    const logins = nodes.limit("login", { limit: 1, per: 60000 });
    console.log("login", logins.check("a").allowed, logins.check("a").allowed);
    nodes.counter("jobs").add(2);
    nodes.gauge("online").add(3);
    console.log("counted", nodes.counter("jobs").value, nodes.gauge("online").value);
  `, ELSEWHERE);
  for (const value of [1, 2, 3]) await server.says(new RegExp(`^heard ${value} master$`, 'm'));
  await server.says(/^late 2\nlate 3$/m);
  await server.says(/^answer 42$/m);
  await server.says(/^login true false$/m);
  await server.says(/^counted 2 3$/m);
  assert.equal(await server.get('/'), 'fine');
  assert.match(await server.get('/'), /Too many requests/);
  assert.equal(await server.stop(), 0);
  assert.match(server.output, /^lost$/m);
});
