'use strict';
// Requests between processes: who answers, and what comes instead of an answer.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program } = require('./program.js');

/** Handlers of every node, and what the master needs to tell how requests end. */
const SERVER = (options) => `
  const server = require("http").createServer((request, response) => response.end());
  const nodes = require("@multi-node/server").listen({ port: PORT, ${options} }, server);
  const ended = async (promise) => {
    try { return JSON.stringify(await promise); } catch (error) { return String(error.code ?? error.name).replace("ERR_MULTI_NODE_", ""); }
  };
  const handle = () => {
    nodes.respond("who", (value, { from }) => ({ id: nodes.id, slot: nodes.slot, value, from }));
    nodes.respond("bytes", (value) => Buffer.concat([value, value]));
    nodes.respond("swap", ({ one, two }) => ({ one: two, two: one }));
    nodes.respond("throws", async () => { throw new TypeError("no such thing"); });
    nodes.respond("never", () => new Promise(() => undefined));
    nodes.respond("kill", () => process.kill(process.pid, "SIGKILL"));
  };
`;

test('the master asks nodes by id and slot, any and all of them', async (t) => {
  const server = await program(t, `${SERVER('nodes: 4')}
    if (!nodes.isMaster) handle();
    else (async () => {
      await nodes.ready();
      const { slots } = await nodes.status();
      const { id, slot } = slots[2];
      console.log("own", id, slot);
      console.log("by id", await ended(nodes.request("who", { a: 1 }, { to: id })));
      console.log("by slot", await ended(nodes.request("who", [2], { to: slot })));
      console.log("any", (await nodes.request("who")).from);
      console.log("bytes", (await nodes.request("bytes", Buffer.from("ab"))).toString());
      console.log("swap", JSON.stringify(await nodes.request("swap", { one: 1, two: Buffer.from("b") }, { to: 1 })));
      const all = await nodes.requestAll("who", "x");
      console.log("all", [...all].filter(([id, { value }]) => value.id === id && value.value === "x").map(([id]) => id).sort().join());
      const thrown = await nodes.requestAll("throws");
      console.log("all throw", [...thrown.values()].map(({ error }) => error.code + ": " + error.message).join());
      console.log("end");
    })();
  `);
  await server.says(/^end/m);
  const [, id, slot] = /^own (\S+) (\d+)$/m.exec(server.output);
  const from = (value) => JSON.stringify({ id, slot: Number(slot), value, from: 'master' });
  assert.ok(server.output.includes(`by id ${from({ a: 1 })}\n`), server.output);
  assert.ok(server.output.includes(`by slot ${from([2])}\n`), server.output);
  assert.match(server.output, /^any master$/m);
  assert.match(server.output, /^bytes abab$/m);
  assert.match(server.output, /^swap {"one":{"type":"Buffer","data":\[98\]},"two":1}$/m);
  assert.match(server.output, /^all node-1,node-2,node-3,node-4$/m);
  const failed = 'ERR_MULTI_NODE_HANDLER_FAILED: the handler failed: no such thing';
  assert.ok(server.output.includes(`all throw ${Array(4).fill(failed).join()}\n`), server.output);
  assert.equal(await server.stop(), 0);
});

test('a node that is killed is gone at once', async (t) => {
  const server = await program(t, `${SERVER('nodes: 2')}
    if (!nodes.isMaster) handle();
    else (async () => {
      await nodes.ready();
      const started = Date.now();
      console.log("killed", await ended(nodes.request("kill", null, { to: 1, timeout: 50000 })));
      console.log(Date.now() - started < 20000 ? "at once" : "late");
    })();
  `);
  await server.says(/^killed GONE\nat once/m);
  assert.equal(await server.stop(), 0);
});

/** How requests of one process to itself end, in every mode. */
const ENDS = (options) => `${SERVER(options)}
  if (nodes.isMaster) (async () => {
    const stop = nodes.respond("stops", () => "here");
    handle();
    await nodes.ready();
    const to = nodes.id;
    const say = async (what, promise) => console.log(what, await ended(promise));
    await say("self", nodes.request("who", 1, { to }));
    await say("bytes", nodes.request("bytes", Buffer.from("a"), { to }).then(String));
    await say("swap", nodes.request("swap", { one: Buffer.from("a"), two: [Buffer.from("b")] }, { to }).then(({ one, two }) => one[0] + String(two)));
    await say("throws", nodes.request("throws", 1, { to }));
    await say("late", nodes.request("never", 1, { to, timeout: 20 }));
    await say("absent", nodes.request("who", 1, { to: "node-99" }));
    await say("nobody", nodes.request("who", 1, { to: "nobody" }));
    await say("slot", nodes.request("who", 1, { to: 77777 }));
    await say("large", nodes.request("who", "x".repeat(2 ** 20), { to }));
    await say("unheard", nodes.request("unheard", 1, { to, timeout: 1000 }));
    await say("wrong", nodes.request("who", 1, { to: {} }));
    await say("untimed", nodes.request("who", 1, { timeout: 0 }));
    const cancels = new AbortController();
    setTimeout(() => cancels.abort(), 20);
    await say("aborted", nodes.request("never", 1, { to, signal: cancels.signal }).catch(({ name }) => name));
    await say("before", nodes.request("never", 1, { to, signal: cancels.signal }).catch(({ name }) => name));
    await say("stops", nodes.request("stops", 1, { to }));
    await say("twice", (async () => nodes.respond("stops", () => "twice"))());
    stop();
    await say("stopped", nodes.request("stops", 1, { to, timeout: 1000 }));
    nodes.respond("stops", () => "again");
    stop();
    await say("anew", nodes.request("stops", 1, { to }));
    const all = await nodes.requestAll("never", 1, { timeout: 20 });
    console.log("all", all.get(to).error.code);
    const many = await Promise.all(Array.from({ length: 1200 }, () => ended(nodes.request("never", 1, { to, timeout: 1000 }))));
    console.log("many", [...new Set(many)].sort().join());
    console.log("end");
  })();
`;

for (const [how, options] of [['of the master of nodes', 'nodes: 1'], ['alone', 'nodes: 0']]) {
  test(`requests ${how} end with a code`, async (t) => {
    const server = await program(t, ENDS(options));
    await server.says(/^end/m);
    const said = [
      'self {"id":"master","slot":null,"value":1,"from":"master"}', 'bytes "aa"', 'swap "ba"', 'throws HANDLER_FAILED', 'late TIMED_OUT', 'absent NO_SUCH_NODE',
      'nobody NO_SUCH_NODE', 'slot NO_SUCH_NODE', 'large TOO_LARGE', 'unheard NO_HANDLER', 'wrong OPTION', 'untimed OPTION', 'aborted "AbortError"',
      'before "AbortError"', 'stops "here"', 'twice HANDLER', 'stopped NO_HANDLER', 'anew "again"', 'all ERR_MULTI_NODE_TIMED_OUT',
      'many OVERLOADED,TIMED_OUT', 'end',
    ];
    const lines = server.output.trim().split('\n');
    assert.deepEqual(lines.slice(lines.findIndex((line) => line.startsWith('self'))), said);
    assert.equal(await server.stop(), 0);
  });
}
