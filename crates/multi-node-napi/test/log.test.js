'use strict';
// What the master writes to standard error.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program } = require('./program.js');

const serving = (options) => `
  const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
  require("@multi-node/server").listen({ port: PORT, nodes: 1, ${options} }, server);
`;

test('with `logToStderr` the master tells what becomes of its nodes, and without it nothing', async (t) => {
  const told = await program(t, serving('logToStderr: true'));
  await told.says(/^multi-node \d\d:\d\d:\d\dZ  INFO ready after .* slot=0 id=node-1/m);
  assert.equal(await told.stop(), 0);
  const silent = await program(t, serving(''));
  await silent.pidsOf(1);
  assert.equal(await silent.stop(), 0);
  assert.equal(silent.output, '');
});
