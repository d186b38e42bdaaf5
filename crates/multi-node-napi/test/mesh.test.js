'use strict';
// Streams between processes.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program, until } = require('./program.js');

/** The third program of the README, and what counts for the test. */
const NOTIFYING = `
  var server = require("http").createServer(function(request, response){
    response.end(JSON.stringify({ received: received, streams: allStreams.length }));
  });
  var received = 0;
  var options = { port: PORT, nodes: 4, backoff: [10, 100], crashLoop: { deaths: 1000, within: 1000 } };
  var nodes = require("@multi-node/server").listen(options, server);
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
  await until('messages to a node that has all streams', async () => {
    const { received, streams } = JSON.parse(await server.get('/'));
    return received > 1000 && streams >= 4;
  });
  assert.equal(await server.stop(), 0);
});

/** Zombies are children too, for a moment. */
function fourOf(server) {
  const children = server.children();
  return children.length === 4 ? children : null;
}

test('every process hears every other, also by a listener that comes late', async (t) => {
  const server = await program(t, `
    const { listen, frameStream } = require("@multi-node/server");
    const heard = new Map();
    const server = require("http").createServer((request, response) => response.end(JSON.stringify([...heard])));
    const nodes = listen({ port: PORT, nodes: 4 }, server);
    const hear = (stream) => {
      frameStream(stream).on("message", ({ from }) => {
        heard.set(from, stream.id);
        if (nodes.isMaster && heard.size === 4) console.log("master heard all");
      }).send({ from: nodes.id });
    };
    // Everybody is there by now.
    nodes.ready().then(() => setTimeout(() => nodes.on("node", hear), 100));
  `);
  await server.says(/master heard all/);
  const complete = new Set();
  await until('all nodes to have heard four', async () => {
    const heard = JSON.parse(await server.get('/'));
    assert.ok(heard.every(([from, id]) => from === id));
    if (heard.length === 4) complete.add(String(heard.map(([from]) => from).sort()));
    return complete.size === 4;
  });
  assert.equal(await server.stop(), 0);
});

test('a peer that does not read is reset at its limit', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end());
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1, maxBuffered: 1000000 }, server);
    nodes.on("node", (stream) => {
      if (!nodes.isMaster) return;
      stream.on("close", () => {
        const more = stream.write("more");
        console.log("reset", more, stream.dropped, nodes.dropped);
      });
      while (!stream.destroyed) stream.write("x".repeat(100000));
    });
  `);
  await server.says(/reset false [1-9]\d* [1-9]\d*/);
  assert.equal(await server.stop(), 0);
});

test('nodes that come and go leave no descriptors behind', async (t) => {
  const server = await program(t, `
    const fs = require("fs");
    const server = require("http").createServer((request, response) => response.end());
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
    nodes.on("node", (stream) => stream.on("data", () => undefined).write("hello"));
    const count = () => fs.readdirSync("/proc/self/fd").length;
    if (nodes.isMaster) (async () => {
      await nodes.ready();
      await nodes.reload();
      const before = count();
      for (let reload = 0; reload < 10; reload += 1) await nodes.reload();
      while (nodes.peers.length > 2 || count() > before) await new Promise((resolve) => setTimeout(resolve, 20));
      console.log("as many as before");
    })();
  `);
  await server.says(/as many as before/);
  assert.equal(await server.stop(), 0);
});

test('a thousand streams that come and go leave no descriptors in those who stay', async (t) => {
  const server = await program(t, `
    const fs = require("fs");
    const server = require("http").createServer((request, response) => response.end());
    const NODES = 20, ROUNDS = 5;
    const options = { port: PORT, nodes: NODES, backoff: [1, 10], crashLoop: { deaths: 1000, within: 1000 } };
    const nodes = require("@multi-node/server").listen(options, server);
    const complete = new Set();
    nodes.on("node", (stream) => {
      stream.write("hello");
      stream.on("data", (text) => String(text).includes("complete") && complete.add(stream.id));
      if (nodes.isMaster || nodes.peers.length < NODES) return;
      nodes.peers.find(({ isMaster }) => isMaster).write("complete");
    });
    if (!nodes.isMaster) return;
    const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    const descriptors = (pid) => fs.readdirSync("/proc/" + pid + "/fd").length;
    const joined = async () => {
      for (;; await pause()) {
        const { ready, slots } = await nodes.status();
        if (ready && slots.length === NODES && slots.every(({ id }) => complete.has(id))) return slots;
      }
    };
    (async () => {
      let slots = await joined();
      const stays = [process.pid, slots[0].pid];
      const before = stays.map(descriptors);
      let streams = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        slots.slice(1).forEach(({ id, pid }) => process.kill(pid, "SIGKILL") && complete.delete(id));
        // Each had one to the master, one to the node that stays, and one to each other.
        streams += (NODES - 1) * 2 + ((NODES - 1) * (NODES - 2)) / 2;
        slots = await joined();
      }
      console.log(streams, "streams have come and gone");
      if (slots[0].pid !== stays[1]) return console.log("who was to stay is gone");
      while (stays.some((pid, index) => descriptors(pid) > before[index])) await pause();
      console.log("as many descriptors as before");
    })();
  `);
  const [, streams] = await server.says(/(\d+) streams have come and gone/, 90_000);
  assert.ok(Number(streams) >= 1000);
  await server.says(/as many descriptors as before/);
  assert.equal(await server.stop(), 0);
});

/** A master that sends to its one node, which counts. `send` runs in the master with `peer`, `count` in the node with `value`. */
const sending = (options, send, count) => `
  const { listen, frameStream } = require("@multi-node/server");
  let got = 0;
  const server = require("http").createServer((request, response) => response.end(String(got)));
  const nodes = listen({ port: PORT, nodes: 1, ${options} }, server);
  nodes.on("node", (stream) => {
    const peer = frameStream(stream);
    if (nodes.isMaster) nodes.ready().then(() => { ${send} });
    else peer.on("message", (value) => { ${count} });
  });
`;

test('a burst in one turn arrives whole, and the sender learns that the stream is full', async (t) => {
  const server = await program(t, sending('', `
    let full = 0;
    for (let i = 0; i < 20000; i += 1) full += peer.send({ i, pad: "x".repeat(1000) }) ? 0 : 1;
    peer.once("drain", () => console.log("drained after", full > 19000));
  `, 'if (value.i === got) got += 1;'));
  await server.says(/drained after true/);
  await until('all messages, in order', async () => (await server.get('/')) === '20000');
  assert.equal(await server.stop(), 0);
});

test('a send that seemed to fill the stream is followed by "drain" also where it did not', async (t) => {
  const server = await program(t, sending('', `
    const text = "x".repeat(20000);
    console.log("full", peer.send(text));
    peer.once("drain", () => console.log("drained"));
  `, 'got += 1;'));
  await server.says(/full false/);
  await server.says(/drained/);
  assert.equal(await server.stop(), 0);
});

test('large messages arrive, and one above the limit is the sender\'s error', async (t) => {
  const server = await program(t, sending('', `
    try { peer.send("x".repeat(17 << 20)); } catch (error) { console.log(error.name, error.code); }
    for (let i = 0; i < 40; i += 1) peer.send({ pad: "x".repeat(1 << 20) });
  `, 'got += value.pad.length;'));
  await server.says(/RangeError ERR_MULTI_NODE_FRAME/);
  await until('all messages', async () => (await server.get('/')) === String(40 << 20));
  assert.equal(await server.stop(), 0);
});

/** Sends 40 MB to a node that is blocked for a while when the first message has come. */
const blocked = (slowPeerTimeout, blockedFor) => sending(`slowPeerTimeout: ${slowPeerTimeout}`, `
  console.log("stream", stream.epoch);
  stream.on("close", () => console.log("closed", stream.epoch));
  if (stream.epoch > 0) return peer.send("again");
  for (let i = 0; i < 40; i += 1) peer.send("x".repeat(1e6));
`, `
  if (got === 0) { const end = Date.now() + ${blockedFor}; while (Date.now() < end); }
  got += 1;
  console.log("node has", got, "on", stream.epoch);
`);

test('a peer that is behind and goes on in time misses nothing', async (t) => {
  const server = await program(t, blocked(10_000, 2000));
  await server.says(/node has 40 on 0/);
  assert.equal(await server.stop(), 0);
});

test('a peer that takes nothing for too long is reset, and both sides get a new stream', async (t) => {
  const server = await program(t, blocked(300, 3000));
  await server.says(/closed 0/);
  await server.says(/stream 1/);
  await server.says(/node has \d+ on 1/);
  assert.equal(await server.stop(), 0);
});

test('a draining node stays joined, also with nodes that come later', async (t) => {
  const server = await program(t, `
    const { listen, frameStream } = require("@multi-node/server");
    const server = require("http").createServer((request, response) => {
      console.log("request");
      // The node drains until both have come, however slowly.
      Promise.all([drains, met]).then(() => response.end(nodes.id));
    });
    const nodes = listen({ port: PORT, nodes: 1 }, server);
    const drains = new Promise((resolve) => nodes.on("drain", resolve));
    let meet;
    const met = new Promise((resolve) => (meet = resolve));
    nodes.on("node", (stream) => {
      const peer = frameStream(stream).on("message", (said) => {
        console.log(nodes.id, "hears", said, "of", stream.id);
        if (stream.id === "node-2") meet();
      });
      stream.on("draining", () => console.log(nodes.id, "sees that", stream.id, "drains"));
      if (stream.draining) console.log(nodes.id, "meets", stream.id, "which drains");
      peer.send("hello");
    });
    nodes.on("ready", () => console.log("all serve"));
    process.on("SIGUSR2", () => nodes.isMaster && nodes.reload().then(() => console.log("reloaded")));
  `);
  await server.says(/all serve/);
  const answer = server.get('/');
  await server.says(/request/);
  server.kill('SIGUSR2');
  await server.says(/master sees that node-1 drains/);
  await server.says(/node-2 hears hello of node-1/);
  await server.says(/node-1 hears hello of node-2/);
  assert.equal(await answer, 'node-1');
  await server.says(/reloaded/);
  assert.equal(await server.stop(), 0);
});
