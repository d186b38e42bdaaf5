// This package beside node:cluster, in one run, interleaved: `node bench/compare.mjs [--rounds N] [--seconds S]`.
// Needs release builds: `npm run build`, and `cargo build --release -p multi-node-bench`, whose clients make the load.
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '0.6' } } });
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
const clients = join(process.env.CARGO_TARGET_DIR ?? join(here, '../../../target'), 'release/multi-node-bench');
if (!existsSync(clients)) throw new Error('first run `cargo build --release -p multi-node-bench`');

const VARIANTS = ['multi-node', 'round-robin', 'sched-none'];
const TICKS_PER_SECOND = 100;

/** A server that runs, and its processes. */
class Server {
  static async start(variant, workers) {
    const server = new Server();
    server.port = await freePort();
    server.child = spawn(process.execPath, [join(here, 'server.js'), variant, String(workers), String(server.port)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    server.lines = createInterface({ input: server.child.stdout })[Symbol.asyncIterator]();
    await server.lines.next();
    return server;
  }

  /** Asks the first process for something. */
  async ask(question) {
    this.child.stdin.write(`${question}\n`);
    return JSON.parse((await this.lines.next()).value);
  }

  /** CPU time of all its processes, in microseconds. */
  cpu() {
    const ticks = [this.child.pid, ...childrenOf(this.child.pid)].map((pid) => {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
      return Number(fields[11]) + Number(fields[12]);
    });
    return (ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND) * 1e6;
  }

  stop() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    for (const pid of childrenOf(this.child.pid)) process.kill(pid, 'SIGKILL');
    this.child.kill('SIGKILL');
    return ended;
  }
}

function childrenOf(pid) {
  const children = (thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return readdirSync(`/proc/${pid}/task`).flatMap(children);
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Load by clients that cost little; 64 of them. */
async function load(server, mode, time) {
  const args = ['load', '--address', `127.0.0.1:${server.port}`, '--mode', mode, '--seconds', String(time)];
  const { stdout } = await promisify(execFile)(clients, args);
  const report = JSON.parse(stdout);
  return { ...report, failed: Object.values(report.errors).reduce((sum, count) => sum + count, 0) };
}

function get(port, path, agent) {
  return new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port, path, agent }, (response) => {
        let text = '';
        response.on('data', (part) => (text += part)).on('end', () => resolve(text));
      })
      .on('error', reject);
  });
}

/** How many connections the busiest of all workers has of 64 that are opened at once, to the mean. */
async function spread({ port }, workers) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  const pids = await Promise.all(Array.from({ length: 64 }, () => get(port, '/pid', agent)));
  agent.destroy();
  const counts = Map.groupBy ? [...Map.groupBy(pids, (pid) => pid).values()].map((group) => group.length) : countsOf(pids);
  return Math.max(...counts) / (64 / workers);
}

function countsOf(pids) {
  const counts = new Map();
  for (const pid of pids) counts.set(pid, (counts.get(pid) ?? 0) + 1);
  return [...counts.values()];
}

/** Milliseconds from the kill of a worker until one that was not there before answers. */
async function replaced(server) {
  const before = childrenOf(server.child.pid);
  const start = performance.now();
  process.kill(before[0], 'SIGKILL');
  for (;;) {
    const pid = Number(await get(server.port, '/pid', false).catch(() => 0));
    if (pid && !before.includes(pid)) return performance.now() - start;
    await sleep(1);
  }
}

/** Requests that fail on kept connections while the workers are replaced so many times. */
async function reloads(server, times) {
  let failed = 0;
  let requests = 0;
  let reloading = true;
  const clients = (async () => {
    // A worker of node:cluster that was told to leave stays until its kept connections have ended.
    while (reloading) {
      const report = await load(server, 'keep-alive', 0.25);
      failed += report.failed;
      requests += report.requests;
    }
  })();
  for (let time = 0; time < times; time += 1) await server.ask('reload');
  reloading = false;
  await clients;
  return { failed, requests };
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
const table = (rows) => console.table(Object.fromEntries(rows));

/** Measures each variant in turn, round by round, and prints medians. */
async function compare(workers, measures) {
  const servers = await Promise.all(VARIANTS.map((variant) => Server.start(variant, workers)));
  const results = VARIANTS.map(() => Object.fromEntries(Object.keys(measures).map((name) => [name, []])));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, measure] of Object.entries(measures)) {
      for (const [index, server] of servers.entries()) results[index][name].push(await measure(server, workers));
    }
  }
  await Promise.all(servers.map((server) => server.stop()));
  return results.map((result) => Object.fromEntries(Object.entries(result).map(([name, all]) => [name, all])));
}

function http1(mode) {
  return async (server) => {
    const before = server.cpu();
    const report = await load(server, mode, seconds);
    return { rate: report.requests / report.seconds, cpu: (server.cpu() - before) / report.requests, failed: report.failed };
  };
}

for (const workers of [2, 8]) {
  const results = await compare(workers, { keepAlive: http1('keep-alive'), perRequest: http1('per-request'), spread });
  console.log(`\n${workers} workers; medians of ${rounds} rounds of ${seconds} s, 64 clients`);
  table(
    VARIANTS.map((variant, index) => {
      const { keepAlive, perRequest, spread: spreads } = results[index];
      const of = (rounds, field) => median(rounds.map((round) => round[field]));
      return [
        variant,
        {
          'kept: requests/s': Math.round(of(keepAlive, 'rate')),
          'kept: CPU µs/request': of(keepAlive, 'cpu').toFixed(1),
          'one each: requests/s': Math.round(of(perRequest, 'rate')),
          'one each: CPU µs/request': of(perRequest, 'cpu').toFixed(1),
          'busiest of 64 to mean': median(spreads).toFixed(2),
          failed: [...keepAlive, ...perRequest].reduce((sum, { failed }) => sum + failed, 0),
        },
      ];
    }),
  );
}

const others = await compare(2, { messages: (server) => server.ask('messages'), replaced });
console.log('\nsmall JSON messages from one worker to its sibling, and a killed worker');
table(
  VARIANTS.map((variant, index) => {
    const { messages, replaced: times } = others[index];
    return [
      variant,
      {
        'one way /s': Math.round(median(messages.map(({ oneWay }) => oneWay))),
        'round trips /s': Math.round(median(messages.map(({ roundTrips }) => roundTrips))),
        'kill to served, ms': Math.round(median(times)),
      },
    ];
  }),
);

console.log('\n20 reloads under load on kept connections');
const rows = [];
for (const variant of VARIANTS) {
  const server = await Server.start(variant, 2);
  rows.push([variant, await reloads(server, 20)]);
  await server.stop();
}
table(rows);
