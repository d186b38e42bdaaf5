'use strict';
// Topics: between real processes, and in one that serves alone.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program, until } = require('./program.js');

/** Each process answers with what it has heard, and publishes what it is asked to. */
const SOURCE = (options, history = 0) => `
  const heard = [];
  const server = require("http").createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname === "/say") chat.publish({ text: url.searchParams.get("text") });
    response.end(JSON.stringify({ id: nodes.id, heard }));
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, ${options} }, server);
  const chat = nodes.topic("chat", { history: ${history} });
  chat.on("message", (value, { from }) => heard.push({ value, from }));
  chat.on("lag", (lag) => heard.push(lag));
  if (nodes.isMaster) {
    nodes.ready().then(async () => {
      console.log("subscribed", JSON.stringify(await chat.subscribed));
    });
    process.stdin.once("data", async () => {
      await nodes.reload();
      console.log("reloaded");
    });
    chat.on("message", ({ text }, { from }) => console.log("master hears", text, "of", from));
  }
`;

/** What each node says, once there are this many and the condition holds for each. */
async function all(server, count, condition) {
  const said = new Map();
  return until(`${count} nodes to say so`, async () => {
    const { id, heard } = JSON.parse(await server.get('/'));
    if (condition(heard)) said.set(id, heard);
    return said.size >= count && said;
  });
}

test('every process hears each message once', async (t) => {
  const server = await program(t, SOURCE('nodes: 4'));
  await server.says(/subscribed {"unconfirmed":\[\]}/);
  const { id } = JSON.parse(await server.get('/say?text=one'));
  await server.get('/say?text=two');
  await server.says(new RegExp(`master hears one of ${id}`));
  for (const heard of (await all(server, 4, (heard) => heard.length >= 2)).values()) {
    assert.deepEqual(heard.map(({ value }) => value.text).sort(), ['one', 'two']);
    assert.equal(heard.find(({ value }) => value.text === 'one').from, id);
  }
  assert.equal(await server.stop(), 0);
});

test('a topic has its history over a reload', async (t) => {
  const server = await program(t, SOURCE('nodes: 2', 2));
  await server.says(/subscribed/);
  for (const text of ['one', 'two', 'three']) {
    await server.get(`/say?text=${text}`);
    await server.says(new RegExp(`master hears ${text}`));
  }
  server.stdin.write('reload\n');
  await server.says(/reloaded/);
  for (const [id, heard] of await all(server, 2, (heard) => heard.length > 0)) {
    assert.ok(Number(id.split('-')[1]) > 2, id);
    assert.deepEqual(heard.map(({ value }) => value.text), ['two', 'three']);
  }
  assert.equal(await server.stop(), 0);
});

/** The same in each mode: `master` publishes to itself. */
const ALONE = (options) => `
  const server = require("http").createServer((request, response) => response.end());
  const nodes = require("@multi-node/server").listen({ port: PORT, ${options} }, server);
  const code = (act) => { try { return act(); } catch (error) { return error.code ?? error.name; } };
  if (nodes.isMaster) (async () => {
    await nodes.ready();
    const topic = nodes.topic("kinds", { history: 3 });
    const values = [{ a: [1, null, "h\\u00e9"] }, "text", Buffer.from([0, 255]), new Uint8Array(0), { deep: [Buffer.from([1])] }, undefined, 7];
    const items = topic[Symbol.asyncIterator]();
    topic.on("message", (value) => console.log("heard", JSON.stringify(value)));
    await topic.subscribed;
    const said = values.map((value) => topic.publish(value));
    console.log("said", said.join());
    const read = [];
    for (let number = 0; number < values.length; number += 1) read.push((await items.next()).value);
    console.log("read", JSON.stringify(read.map(({ value, from }) => [Buffer.isBuffer(value) ? "bytes " + value.toString("hex") : value, from])));
    await items.return();
    const late = [];
    for await (const { value } of topic) {
      late.push(value);
      if (late.length === 3) break;
    }
    console.log("late", JSON.stringify(late.map(String)));
    const lagging = topic[Symbol.asyncIterator]();
    for (let number = 0; number < 10000; number += 1) topic.publish(number);
    let [messages, missed] = [0, 0];
    while (messages + missed < 10003) {
      const { value: item } = await lagging.next();
      if (item.missed === undefined) messages += 1;
      else missed += item.missed;
    }
    console.log("lag", messages + missed, missed > 0);
    console.log("codes", code(() => topic.publish("x".repeat(2 ** 20))), code(() => topic.publish(1n)), code(() => nodes.topic("")),
      code(() => nodes.topic(7)), code(() => nodes.topic("x", { history: -1 })));
    topic.close();
    console.log("closed", code(() => topic.publish(1)), (await lagging.next()).done, await topic.subscribed.then(() => "subscribed"));
    console.log("end");
  })();
`;

for (const [how, options] of [['as the master of nodes', 'nodes: 1'], ['alone', 'nodes: 0']]) {
  test(`a process ${how} sends values as they are, and is told what it misses`, async (t) => {
    const server = await program(t, ALONE(options));
    await server.says(/^end/m);
    assert.match(server.output, /^said true,true,true,true,true,true,true$/m);
    assert.match(server.output, /^read \[\[\{"a":\[1,null,"hé"\]\},"master"\],\["text","master"\],\["bytes 00ff","master"\],\["bytes ","master"\],\[\{"deep":\[\{"type":"Buffer","data":\[1\]\}\]\},"master"\],\[null,"master"\],\[7,"master"\]\]$/m);
    assert.match(server.output, /^late \["\[object Object\]","null","7"\]$/m);
    assert.match(server.output, /^lag 10003 true$/m);
    assert.match(server.output, /^codes ERR_MULTI_NODE_TOO_LARGE TypeError ERR_MULTI_NODE_TOPIC ERR_MULTI_NODE_TOPIC ERR_MULTI_NODE_OPTION$/m);
    assert.match(server.output, /^closed ERR_MULTI_NODE_TOPIC_CLOSED true subscribed$/m);
    assert.equal(await server.stop(), 0);
  });
}

test('what a listener throws takes no message from the others', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end());
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 0 }, server);
    process.on("uncaughtException", ({ message }) => console.log("thrown", message));
    const topic = nodes.topic("throws");
    topic.on("message", (value) => {
      if (value === 1) throw new Error("one");
      console.log("heard", value);
    });
    for (const value of [1, 2, 3]) topic.publish(value);
  `);
  await server.says(/heard 2\n(thrown one\n)?heard 3/);
  await server.says(/thrown one/);
  assert.equal(await server.stop(), 0);
});
