'use strict';
// Kept connections that are opened at once are spread evenly over the nodes, also after many short ones; and no node is waited for.

const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');
const { test } = require('node:test');

const { program, until } = require('../program.js');

const CONNECTIONS = 64;
/** If a node waits this number of milliseconds for a processor, it may be late for a connection, and others have taken it. */
const HELD_UP = 5;
const ROUNDS = 5;

const server = (nodes) => `
  const server = require('http').createServer((request, response) => {
    if (request.url === '/busy') for (const end = Date.now() + 3000, said = require('fs').writeSync(1, 'busy\\n'); Date.now() < end; );
    response.end('hello from ' + process.pid);
  });
  server.keepAliveTimeout = 60_000;
  const nodes = require('@multi-node/server').listen({ port: PORT, host: '127.0.0.1', nodes: ${nodes} }, server);
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
    return /^open: [0 ]+\n/.test(await status(started));
  });
}

/** How many connections each node has. */
async function status(started) {
  const asked = started.output.length;
  started.stdin.write('?');
  const [line] = await until('an answer', () => /open: .*\n/.exec(started.output.slice(asked)));
  return line;
}

test('nobody waits for an event loop that is busy, while another has more connections', async (t) => {
  const started = await program(t, server(2));
  await started.says(/ready/);
  const agents = Array.from({ length: 8 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
  t.after(() => agents.forEach((agent) => agent.destroy()));
  const open = [];
  for (const agent of agents) open.push({ agent, by: await started.get('/', { agent }) });
  const [{ by: one }] = open;
  for (const { agent, by } of open) if (by !== one) agent.destroy();
  await until('one to have none', async () => / 0\n$|open: 0 /.test(await status(started)));
  // It stands in the queue still; when its turn has come it is refused.
  await until('an answer of that with more', async () => (await started.get('/')) === one);
  const busy = started.get('/busy');
  await started.says(/busy/);
  const first = await Promise.race([busy, ...Array.from({ length: 5 }, () => started.get('/'))]);
  assert.notStrictEqual(await busy, one, 'it goes to the one that has none');
  assert.strictEqual(first, one);
  assert.strictEqual(await started.stop(), 0);
});

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
