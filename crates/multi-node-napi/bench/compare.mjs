// This package beside node:cluster, in one run, interleaved: `node bench/compare.mjs [--rounds N] [--seconds S] [--smoke]
// [--only http,spread,start,messages,kills,reloads]`. Needs release builds: `npm run build`, and `cargo build --release -p
// multi-node-bench`, whose clients make the load. Progress goes to stderr; the exit code is 1 where something could not be measured.
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { CLIENTS, Server, VARIANTS, childrenOf, load, memoryOf, pidOf, tryKill } from './servers.mjs';
import { print, ratios, show } from './table.mjs';

const { values } = parseArgs({
  options: { rounds: { type: 'string' }, seconds: { type: 'string' }, smoke: { type: 'boolean' }, only: { type: 'string' } },
});
const rounds = Number(values.rounds ?? (values.smoke ? 1 : 9));
const seconds = Number(values.seconds ?? (values.smoke ? 0.2 : 0.6));
const reloadsEach = values.smoke ? 2 : 20;
const asked = (part) => !values.only || values.only.split(',').includes(part);

/** The whole run takes no longer, whatever happens. */
const LIMIT = 8 * 60_000;
/** Seconds of load before the first round, so that the workers' code is compiled; and before each measurement. */
const [WARM_UP, SETTLE] = values.smoke ? [0.2, 0.1] : [1, 0.1];

let failures = 0;
const start = performance.now();
const progress = (text) => console.error(`${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${text}`);
setTimeout(() => {
  progress('the time is over');
  process.exit(1);
}, LIMIT).unref();

/** What `measure` gives; `null`, and a line that says why, where it fails. */
async function attempt(what, measure) {
  try {
    return await measure();
  } catch (error) {
    failures += 1;
    progress(`${what} failed: ${error.message}`);
    return null;
  }
}

/** Measures each variant in turn, round by round. Each round begins with another, so that none always follows the same. */
async function compare(workers, measures, warmUp = () => undefined) {
  const servers = await Promise.all(VARIANTS.map((variant) => Server.start(variant, workers)));
  for (const server of servers) await attempt(`${server.variant}'s first load`, () => warmUp(server));
  const results = Object.fromEntries(Object.keys(measures).map((name) => [name, VARIANTS.map(() => [])]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, measure] of Object.entries(measures)) {
      for (let turn = 0; turn < servers.length; turn += 1) {
        const index = (round + turn) % servers.length;
        results[name][index][round] = await attempt(`${name} of ${VARIANTS[index]}`, () => measure(servers[index]));
      }
    }
    progress(`${Object.keys(measures).join(', ')}; ${workers} workers: round ${round + 1} of ${rounds}`);
  }
  await Promise.all(servers.map((server) => server.stop()));
  return results;
}

function httpLoad(mode) {
  return async (server) => {
    await load(server, mode, SETTLE);
    const before = server.cpu();
    const report = await load(server, mode, seconds);
    return { rate: report.requests / report.seconds, cpu: (server.cpu() - before) / report.requests, failed: report.failed };
  };
}

/** How many connections the busiest of all workers has of those that are opened at once, to the mean. */
async function spread(server) {
  await server.isEmpty();
  const agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS });
  const pids = await Promise.all(Array.from({ length: CLIENTS }, () => pidOf(server, agent))).finally(() => agent.destroy());
  const counts = new Map();
  for (const pid of pids) counts.set(pid, (counts.get(pid) ?? 0) + 1);
  return { busiest: Math.max(...counts.values()) / (CLIENTS / server.workers) };
}

/** Milliseconds from the kill of a worker until one that was not there before answers. */
async function kill(server) {
  const before = childrenOf(server.pid);
  const start = performance.now();
  tryKill(before[0]);
  for (;;) {
    // A request that the killed worker had gets no answer; in round robin its connection stays open all the same.
    const pid = await pidOf(server, false, 100).catch(() => 0);
    if (pid && !before.includes(pid)) break;
    if (performance.now() - start > 10_000) throw new Error('nobody takes its place');
    await sleep(1);
  }
  const served = performance.now() - start;
  // A worker of node:cluster whose primary is stopped while it starts prints that on stderr.
  await server.ask('complete');
  return { served };
}

async function messages(server) {
  await server.ask('complete');
  return server.ask('messages');
}

/** Requests that fail on kept connections while all workers are replaced this number of times. */
async function reloads(server) {
  const sum = { requests: 0, failed: 0 };
  let reloading = true;
  const clients = (async () => {
    // A worker of node:cluster that was asked to leave stays until its kept connections have ended.
    while (reloading) {
      const report = await load(server, 'keep-alive', 0.25);
      sum.failed += report.failed;
      sum.requests += report.requests;
    }
  })();
  const begun = performance.now();
  try {
    for (let time = 0; time < reloadsEach; time += 1) await server.ask('reload');
  } finally {
    reloading = false;
    await clients;
  }
  return { ...sum, each: (performance.now() - begun) / reloadsEach };
}

const all = (rounds, field) => rounds.flatMap((round) => (round ? [round[field]] : []));
const sum = (rounds, field) => all(rounds, field).reduce((total, each) => total + each, 0);
const rowsOf = (cells) => VARIANTS.map((variant, index) => [variant, ...cells(index)]);

function printHttp(mode, workers, results) {
  const toOthers = (index, field) => VARIANTS.map((_, other) => show(ratios(results[index], results[other], field), 2));
  const head = ['requests/s', 'CPU µs/request', ...VARIANTS.map((other) => `CPU × ${other}`), ...VARIANTS.map((other) => `rate × ${other}`), 'errors'];
  const cells = (index) => [show(all(results[index], 'rate'), 0), show(all(results[index], 'cpu'), 1), ...toOthers(index, 'cpu'), ...toOthers(index, 'rate'), String(sum(results[index], 'failed'))];
  print(`${mode}, ${workers} workers; median (min–max)`, ['server', ...head], rowsOf(cells));
}

async function compareHttp(workers) {
  const modes = asked('http') ? { 'keep-alive': httpLoad('keep-alive'), 'per-request': httpLoad('per-request') } : {};
  const warmUp = async (server) => {
    for (const mode of Object.keys(modes)) await load(server, mode, WARM_UP);
  };
  const results = await compare(workers, asked('spread') ? { ...modes, spread } : modes, warmUp);
  for (const mode of Object.keys(modes)) printHttp(mode, workers, results[mode]);
  if (asked('spread')) {
    const cells = (index) => [show(all(results.spread[index], 'busiest'), 2)];
    print(`${CLIENTS} connections opened at once, ${workers} workers; median (min–max)`, ['server', 'busiest to mean'], rowsOf(cells));
  }
}

/** Starts of four workers, each variant in turn: milliseconds until all serve, and what a worker weighs then, in MiB. */
async function compareStarts() {
  const results = VARIANTS.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < VARIANTS.length; turn += 1) {
      const index = (round + turn) % VARIANTS.length;
      results[index][round] = await attempt(`a start of ${VARIANTS[index]}`, () => startOf(VARIANTS[index], 4));
    }
    progress(`starts: round ${round + 1} of ${rounds}`);
  }
  const cells = (index) => [['served', 0], ['pss', 1], ['own', 1]].map(([field, decimals]) => show(all(results[index], field), decimals));
  print('4 workers, from the start of the program; median (min–max)', ['server', 'all serve after ms', 'PSS of a worker MiB', 'of no file'], rowsOf(cells));
}

async function startOf(variant, workers) {
  const start = performance.now();
  const server = await Server.start(variant, workers);
  const served = performance.now() - start;
  const pids = childrenOf(server.pid);
  const mean = (line) => pids.reduce((total, pid) => total + memoryOf(pid, line), 0) / pids.length;
  const weight = { served, pss: mean('Pss'), own: mean('Pss_Anon') };
  await server.stop();
  return weight;
}

async function compareMessages() {
  const { messages: results } = await compare(2, { messages });
  const column = (index, field) => [show(all(results[index], field), 0), ...VARIANTS.map((_, other) => show(ratios(results[index], results[other], field), 1))];
  const head = (what) => [`${what}/s`, ...VARIANTS.map((other) => `× ${other}`)];
  print('small JSON messages between two workers; median (min–max)', ['server', ...head('one way'), ...head('round trips')], rowsOf((index) => [...column(index, 'oneWay'), ...column(index, 'roundTrips')]));
}

async function compareKills() {
  const { kill: results } = await compare(2, { kill });
  print('from SIGKILL until a new worker answers; median (min–max)', ['server', 'ms'], rowsOf((index) => [show(all(results[index], 'served'), 0)]));
}

async function compareReloads() {
  const rows = [];
  for (const variant of VARIANTS) {
    const server = await Server.start(variant, 2);
    const result = await attempt(`reloads of ${variant}`, () => reloads(server));
    await server.stop();
    progress(`reloads of ${variant}`);
    rows.push([variant, ...(result ? [String(result.requests), String(result.failed), result.each.toFixed(0)] : ['-', '-', '-'])]);
  }
  print(`${reloadsEach} reloads under load on kept connections, 2 workers`, ['server', 'requests', 'failed', 'ms/reload'], rows);
}

for (const workers of values.smoke ? [2] : [2, 8]) {
  if (asked('http') || asked('spread')) await compareHttp(workers);
}
if (asked('start')) await compareStarts();
if (asked('messages')) await compareMessages();
if (asked('kills')) await compareKills();
if (asked('reloads')) await compareReloads();
process.exit(failures > 0 ? 1 : 0);
