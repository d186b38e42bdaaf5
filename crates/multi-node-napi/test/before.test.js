'use strict';
// What a program opens before `listen`, every process opens: the master warns of it.

const assert = require('node:assert/strict');
const net = require('node:net');
const { once } = require('node:events');
const { test } = require('node:test');
const { program } = require('./program.js');

/** A program that has some connections before it listens. */
const source = (count, options = '') => `
  const net = require("net");
  const connected = (port) => new Promise((resolve) => { const socket = net.connect(port, "127.0.0.1", () => resolve(socket)); });
  (async () => {
    for (let count = 0; count < ${count}; count++) await connected(Number(process.env.DATABASE));
    const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
    require("@multi-node/server").listen({ port: PORT, nodes: 2, ${options} }, server);
  })();
`;

async function database(t) {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { ...process.env, DATABASE: String(server.address().port) };
}

const WARNING = /\[MULTI_NODE_BEFORE_LISTEN\] Warning: (.*)/g;

async function warnings(t, count, options) {
  const served = await program(t, source(count, options), { env: await database(t) });
  await served.pidsOf(2);
  assert.equal(await served.stop(), 0);
  return [...served.output.matchAll(WARNING)].map(([, text]) => text);
}

test('connections before `listen` are warned of once, by the master', async (t) => {
  const [warning, ...others] = await warnings(t, 3);
  assert.match(warning, /^3 TCP connections were opened before `listen`: code there runs in every process; open them after/);
  assert.deepEqual(others, []);
});

test('a program that opens nothing is not warned, whatever threads Node.js has', async (t) => {
  assert.deepEqual(await warnings(t, 0), []);
});

test('the warning can be turned off', async (t) => {
  assert.deepEqual(await warnings(t, 3, 'warnBeforeListen: false'), []);
});
