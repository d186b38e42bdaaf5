'use strict';
// The programs of the README are started as they stand there.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { test } = require('node:test');
const WebSocket = require('ws');
const { folder, program, until } = require('./program.js');
const { fromReadme } = require('./readme.js');
const { EXPRESS, servesExpress } = require('./typescript.js');

/** What programs that begin with `listen(options, server)` leave to the reader. */
const GIVEN = `
  var server = require("http").createServer(function(request, response){ response.end("hello from " + process.pid); });
  var options = { port: PORT, nodes: 2 };
`;

test('a server runs as several processes', async (t) => {
  const server = await program(t, fromReadme('createServer(function'));
  const pids = await server.pidsOf(4);
  assert.ok(!pids.has(server.pid), 'the master serves nobody');
  assert.equal(await server.stop(), 0);
});

test('a REPL starts in the master alone', async (t) => {
  const server = await program(t, GIVEN + fromReadme('require("repl")'));
  await server.pidsOf(2);
  server.stdin.write('"sum " + (40 + 2)\n');
  await server.says(/sum 42/);
  assert.equal(await server.stop(), 0);
});

test('whole messages go to every other process', async (t) => {
  const server = await program(t, `${GIVEN}${fromReadme('peers.set(stream.id, peer)')}
    nodes.ready().then(() => setTimeout(() => tellAll("I am " + nodes.id), 100));
  `);
  for (const who of ['master', 'node-1', 'node-2']) {
    await until(`both others to hear ${who}`, () => server.output.split(`${who} says I am ${who}`).length > 2);
  }
  assert.equal(await server.stop(), 0);
});

test('every process hears what is published, and answers requests', async (t) => {
  const server = await program(t, GIVEN + fromReadme('nodes.topic("chat"'));
  for (const who of ['master', 'node-1', 'node-2']) {
    await until(`all to hear ${who}`, () => server.output.split(`hears of ${who} { text: 'hello of ${who}' }`).length > 3);
  }
  assert.equal(await server.stop(), 0);
  const asked = await program(t, GIVEN + fromReadme('nodes.requestAll("memory"'));
  for (const who of ['master', 'node-1', 'node-2']) await asked.says(new RegExp(`^${who} \\d+\\.\\d+$`, 'm'));
  assert.equal(await asked.stop(), 0);
});

test('a chat spans all processes, and its clients are told of a reload', async (t) => {
  const server = await program(t, `${fromReadme('WebSocketServer')}
    nodes.on("node", () => nodes.peers.length === 4 && console.log(nodes.id, "is joined with all"));
    sockets.on("connection", () => console.log(nodes.id, "has", sockets.clients.size));
  `);
  for (const slot of [1, 2, 3, 4]) await server.says(new RegExp(`node-${slot} is joined with all`));
  const clients = await Promise.all(Array.from({ length: 8 }, () => join(server)));
  for (const slot of [1, 2, 3, 4]) await server.says(new RegExp(`node-${slot} has`));
  const heard = clients.map((client) => once(client, 'message').then(([text]) => String(text)));
  clients[0].send('hello all');
  assert.deepEqual(await Promise.all(heard), clients.map(() => 'hello all'));
  const closed = clients.map((client) => once(client, 'close').then(([code]) => code));
  server.kill('SIGHUP');
  assert.deepEqual(await Promise.all(closed), clients.map(() => 1001));
  assert.equal(await server.stop(), 0);
});

async function join({ port }) {
  const client = new WebSocket(`ws://127.0.0.1:${port}`);
  await once(client, 'open');
  return client;
}

test('Express in TypeScript is served, by the runner tsx', (t) => servesExpress(t, ['--import', 'tsx']));

test('Express in TypeScript compiles', (t) => {
  const cwd = folder(t);
  const write = (file, text) => require('node:fs').writeFileSync(path.join(cwd, file), text);
  write('server.ts', fromReadme(EXPRESS).replaceAll('PORT', '8080'));
  write('package.json', '{ "type": "module" }');
  const compiler = path.join(__dirname, '../node_modules/typescript/bin/tsc');
  const args = ['--strict', '--noEmit', '--module', 'nodenext', '--types', 'node', '--preserveSymlinks', 'server.ts'];
  execFileSync(process.execPath, [compiler, ...args], { cwd, encoding: 'utf8', stdio: 'pipe' });
});
