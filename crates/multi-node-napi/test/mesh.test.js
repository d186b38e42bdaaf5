'use strict';
// Streams between processes.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program, until } = require('./program.js');

/** The third program of the README, and what counts for the test. */
const NOTIFYING = `
  var server = require("http").createServer(function(request, response){
    response.end(JSON.stringify({ pid: process.pid, received: received, streams: allStreams.length, dropped: nodes.dropped }));
  });
  var received = 0;
  var options = { port: PORT, nodes: 4, backoff: [10, 100], crashLoop: { deaths: 1000, within: 1000 } };
  var nodes = require("multi-node").listen(options, server);
  var allStreams = [];
  nodes.addListener("node", function(stream){
    stream.addListener("data", function(data){
        // received a message from this node process
        received += data.length;
    });
    allStreams.push(stream);
  });
  function notifyOtherProcesses(message){
    allStreams.forEach(function(stream){
        stream.write(message);
    });
  }
  setInterval(function(){ for (var i = 0; i < 10; i++) notifyOtherProcesses("0123456789"); }, 10);
  if (nodes.isMaster) {
    nodes.on("ready", function(){ console.log("all serve"); });
    nodes.on("exit", function(exit){ console.log("exit", exit.pid, exit.signal); });
  }
`;

test('streams outlive fifty kills while everybody writes', async (t) => {
  const server = await program(t, NOTIFYING);
  await server.says(/all serve/);
  const killed = [];
  for (let round = 0; round < 50; round += 1) {
    const victims = await until('four nodes', () => fourOf(server));
    const victim = victims[round % victims.length];
    process.kill(victim, 'SIGKILL');
    killed.push(victim);
    await server.says(new RegExp(`exit ${victim} SIGKILL`), 4000);
  }
  await until('four nodes', () => fourOf(server));
  const ended = [...server.output.matchAll(/exit (\d+)/g)].map(([, pid]) => Number(pid));
  assert.deepEqual(ended, killed, 'only the killed ones have ended');
  const answer = await until('messages to a node', async () => {
    const found = JSON.parse(await server.get('/'));
    return found.received > 1000 ? found : null;
  });
  assert.ok(answer.streams >= 4);
  assert.equal(await server.stop(), 0);
});

/** Zombies are children too, for a moment. */
function fourOf(server) {
  const children = server.children();
  return children.length === 4 ? children : null;
}
