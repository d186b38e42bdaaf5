'use strict';
// Kept connections that are opened at once are spread evenly over the nodes, also after many short ones.

const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');
const { test } = require('node:test');

const { program, until } = require('./program.js');

const CONNECTIONS = 64;
/** A node that has waited for a processor for so many milliseconds may not have come for a connection in time, and then others have taken it. */
const HELD_UP = 5;
const ROUNDS = 5;

const server = (nodes) => `
  const server = require('http').createServer((request, response) => response.end('hello from ' + process.pid));
  const nodes = require('multi-node').listen({ port: PORT, host: '127.0.0.1', nodes: ${nodes} }, server);
  if (nodes.isMaster) {
    nodes.ready().then(() => console.log('ready'));
    process.stdin.on('data', async () => {
      const { slots } = await nodes.status();
      console.log('open: ' + slots.map((slot) => slot.connections).join(' '));
    });
  }
`;

/** How long a process has waited for a processor, in milliseconds. */
function runDelay(pid) {
  const threads = fs.readdirSync(`/proc/${pid}/task`);
  const delays = threads.map((thread) => Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[1]));
  return delays.reduce((sum, delay) => sum + delay, 0) / 1e6;
}

/** How many of the connections each pid has. */
async function opened(started) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const texts = await Promise.all(Array.from({ length: CONNECTIONS }, () => started.get('/', { agent }))).finally(() => agent.destroy());
  const counts = {};
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1;
  return Object.values(counts);
}

/** Waits until the connections of the measurement before are gone. */
async function isEmpty(started) {
  await until('no open connection', async () => {
    const asked = started.output.length;
    started.stdin.write('?');
    const [, open] = await until('an answer', () => /open: (.*)\n/.exec(started.output.slice(asked)));
    return /^[0 ]+$/.test(open);
  });
}

for (const nodes of [2, 8]) {
  test(`no one of ${nodes} nodes has more than 1.25 times its share`, async (t) => {
    const started = await program(t, server(nodes));
    await started.says(/ready/);
    const pids = [...(await started.pidsOf(nodes))];
    await Promise.all(Array.from({ length: 200 }, () => started.get('/')));
    const seen = [];
    for (;;) {
      await isEmpty(started);
      const before = pids.map(runDelay);
      const counts = await opened(started);
      const heldUp = pids.map(runDelay).map((delay, index) => delay - before[index]);
      seen.push({ counts, heldUp });
      if (Math.max(...counts) <= (1.25 * CONNECTIONS) / nodes) break;
      const busy = heldUp.some((delay) => delay > HELD_UP);
      assert.ok(busy && seen.length < ROUNDS, JSON.stringify(seen));
    }
    assert.strictEqual(await started.stop(), 0);
  });
}
