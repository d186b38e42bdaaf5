'use strict';
// Signals to the master: which are the same, and which say "at once".

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program } = require('./program.js');
const { escalation } = require('../js/signals.js');

const SERVER = (options) => `
  const server = require("http").createServer((request, response) => {
    console.log("begins");
    setTimeout(() => response.end("slow"), 400);
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, ${options} }, server);
  nodes.on("ready", () => nodes.isMaster && console.log("ready"));
`;

test('another request to end is urgent a second later, and before that the same', () => {
  const asksFor = escalation();
  assert.deepEqual([5000, 5000, 5001, 5999].map(asksFor), ['shutDown', undefined, undefined, undefined]);
  assert.deepEqual([6000, 6001, 60_000].map(asksFor), ['shutDownNow', 'shutDownNow', 'shutDownNow']);
});

for (const [how, options] of [['nodes', 'nodes: 2'], ['one process', 'nodes: 0']]) {
  test(`a signal to the process and its group is one graceful shutdown of ${how}`, async (t) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGTERM', 'SIGINT']) {
      const server = await program(t, SERVER(options), { detached: true });
      await server.says(/^ready$/m);
      const answer = server.get('/').catch((error) => `${error.code}; it says:\n${server.output}`);
      await server.says(/^begins$/m);
      process.kill(server.pid, signal);
      process.kill(-server.pid, signal);
      assert.equal(await answer, 'slow');
      assert.equal(await server.ended, 0);
    }
  });
}
