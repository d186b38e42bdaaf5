'use strict';
// What the master writes to standard error.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program, until } = require('./program.js');

const serving = (options) => `
  const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
  require("@multi-node/server").listen({ port: PORT, nodes: 1, ${options} }, server);
`;

test('the master says what becomes of its nodes, and with `logToStderr: false` nothing', async (t) => {
  const server = await program(t, serving(''));
  await until('the line', () => /^multi-node \d\d:\d\d:\d\dZ  INFO ready after .* slot=0 id=node-1/m.test(server.log));
  assert.equal(await server.stop(), 0);
  const silent = await program(t, serving('logToStderr: false'));
  await silent.pidsOf(1);
  assert.equal(await silent.stop(), 0);
  assert.deepEqual([silent.log, silent.output], ['', '']);
});
