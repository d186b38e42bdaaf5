'use strict';
// The three programs of the README, as they stand there but for the port.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program } = require('./program.js');

test('a server runs as several processes', async (t) => {
  const server = await program(t, `
    var server = require("http").createServer(function(request, response){ response.end("hello from " + process.pid); });
    var nodes = require("multi-node").listen({ port: PORT, nodes: 4 }, server);
  `);
  const pids = await server.pidsOf(4);
  assert.ok(!pids.has(server.pid), 'the master serves nobody');
  assert.equal(await server.stop(), 0);
});
