'use strict';
// What is published in one turn of the event loop goes together: nothing of it may be lost, changed, or come in another order.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program } = require('./program.js');

const SOURCE = `
  const { createHash } = require("crypto");
  const texts = ["", "a", "ü€𝄞", "x".repeat(1365), "€".repeat(1366), "y".repeat(20000)];
  const value = (i) => (i % 3 === 0 ? Buffer.alloc((i * 37) % 9000, i % 251) : i % 3 === 1 ? { i, text: texts[i % texts.length] } : { i, raw: Buffer.from([i % 256]) });
  const hash = (values) => createHash("sha256").update(values.map((value) => JSON.stringify(value)).join()).digest("hex");
  const server = require("http").createServer((request, response) => response.end());
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1, maxSubscriptionBacklog: 100000 }, server);
  const [mixed, ends] = [nodes.topic("mixed"), nodes.topic("ends")];
  const COUNT = 3000;
  if (nodes.isMaster) {
    const heard = [];
    mixed.on("message", (value) => heard.push(value));
    mixed.on("lag", (lag) => console.log("lag", JSON.stringify(lag)));
    ends.on("message", (text) => console.log("heard at the end:", text));
    nodes.respond("how many", () => heard.length);
    nodes.respond("equal", () => hash(heard) === hash(Array.from({ length: COUNT }, (_, i) => value(i))));
  } else {
    const other = nodes.topic("other");
    process.on("exit", () => ends.publish("bye"));
    mixed.on("subscribers", async ([master]) => {
      if (master === undefined) return;
      mixed.removeAllListeners("subscribers");
      for (let i = 0; i < COUNT; i++) {
        mixed.publish(value(i));
        if (i % 100 === 0) other.publish(i);
        if (i % 50 === 49) await new Promise(setImmediate);
      }
      while (await nodes.request("how many", null, { to: "master" }) < COUNT) await new Promise((next) => setTimeout(next, 5));
      console.log("equal:", await nodes.request("equal", null, { to: "master", timeout: 60000 })); // hashes tens of megabytes twice
      while (ends.subscribers.length === 0) await new Promise((next) => setTimeout(next, 5));
      setTimeout(() => process.exit(0), 100);
    });
  }
`;

test('messages of one turn come whole and in order, and so does the last word of a process', async (t) => {
  const server = await program(t, SOURCE);
  await server.says(/equal: (true|false)/);
  await server.says(/heard at the end: bye/);
  assert.match(server.output, /equal: true/);
  assert.doesNotMatch(server.output, /^lag/m);
  assert.equal(await server.stop(), 0);
});

test('a message that is too large is refused at once, and what was published before it is sent', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end());
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1, maxMessage: 2000 }, server);
    const topic = nodes.topic("bounded");
    if (nodes.isMaster) {
      topic.on("message", (bytes) => console.log("heard", bytes.length));
    } else {
      topic.on("subscribers", ([master]) => {
        if (master === undefined) return;
        topic.publish(Buffer.alloc(2000));
        try {
          topic.publish(Buffer.alloc(2001));
        } catch ({ code }) {
          console.log("refused", code);
        }
        topic.publish(Buffer.alloc(1));
      });
    }
  `);
  await server.says(/refused ERR_MULTI_NODE_TOO_LARGE/);
  await server.says(/heard 2000\n(.*\n)*heard 1\n/);
  assert.equal(await server.stop(), 0);
});

test('a publisher that waits for room makes nobody miss a message', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end());
    const options = { maxMessage: 1024, maxPeerBacklog: 256 << 10, maxSubscriptionBacklog: 100000 };
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1, ...options }, server);
    const topic = nodes.topic("much");
    const COUNT = 5000;
    if (nodes.isMaster) {
      let heard = 0;
      topic.on("message", () => (heard += 1) === COUNT && console.log("heard all"));
      topic.on("lag", ({ missed }) => console.log("missed", missed));
    } else {
      topic.on("subscribers", async ([master]) => {
        if (master === undefined) return;
        topic.removeAllListeners("subscribers");
        let lagging = 0;
        for (let i = 1; i <= COUNT; i++) {
          if (!topic.publish(Buffer.alloc(1000))) lagging += 1;
          if (i % 64 === 0) await topic.room();
        }
        console.log("lagging", lagging);
      });
    }
  `);
  await server.says(/lagging 0/);
  await server.says(/heard all/);
  assert.doesNotMatch(server.output, /^missed/m);
  assert.equal(await server.stop(), 0);
});
