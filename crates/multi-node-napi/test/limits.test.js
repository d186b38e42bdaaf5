'use strict';
// Limits and counters: of all processes together, and of one that serves alone.

const assert = require('node:assert/strict');
const net = require('node:net');
const { test } = require('node:test');
const { program, until } = require('./program.js');

test('all nodes count together', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => {
      jobs.add(2);
      response.end(JSON.stringify({ id: nodes.id, ...login.check("client") }));
    });
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
    const login = nodes.limit("login", { limit: 20, per: 3600000 });
    const jobs = nodes.counter("jobs");
    if (nodes.isMaster) nodes.ready().then(() => console.log("ready"));
    if (nodes.isMaster) setInterval(() => console.log("jobs", jobs.value), 50);
  `);
  await server.says(/^ready/m);
  const seen = new Set();
  const answers = [];
  await until('both nodes to deny', async () => {
    const answer = JSON.parse(await server.get('/'));
    answers.push(answer);
    if (!answer.allowed) seen.add(answer.id);
    return seen.size === 2;
  });
  const allowed = answers.filter((answer) => answer.allowed);
  assert.deepEqual(allowed.map(({ remaining }) => remaining), Array.from({ length: 20 }, (_, number) => 19 - number));
  const { retryAfter, remaining } = answers.at(-1);
  assert.ok(retryAfter > 0 && retryAfter <= 180_000 && remaining === 0, String(retryAfter));
  await server.says(new RegExp(`^jobs ${2 * answers.length}$`, 'm'));
  assert.equal(await server.stop(), 0);
});

test('the sockets of a killed node do not stay counted', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer();
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
    const online = nodes.gauge("online");
    server.on("connection", (socket) => {
      online.add(1);
      socket.on("close", () => online.add(-1));
    });
    if (nodes.isMaster) nodes.ready().then(() => console.log("ready"));
    if (nodes.isMaster) setInterval(() => console.log("online", online.value), 20);
    else console.log("node", process.pid);
  `);
  await server.says(/^ready/m);
  const open = new Set();
  for (let count = 0; count < 500; count += 1) {
    const socket = net.connect(server.port, '127.0.0.1', () => open.add(socket));
    socket.on('error', () => undefined).on('close', () => open.delete(socket));
  }
  await server.says(/^online 500$/m);
  process.kill(Number(server.output.match(/^node (\d+)$/m)[1]), 'SIGKILL');
  await until('the sockets of one node alone', () => open.size > 0 && open.size < 500 && server.output.trimEnd().endsWith(`online ${open.size}`));
  for (const socket of open) socket.destroy();
  assert.equal(await server.stop(), 0);
});

for (const [how, options] of [['the master of nodes', 'nodes: 1'], ['a process that serves alone', 'nodes: 0']]) {
  test(`${how} limits and counts`, async (t) => {
    const server = await program(t, `
      const server = require("http").createServer((request, response) => response.end());
      const nodes = require("@multi-node/server").listen({ port: PORT, ${options} }, server);
      const code = (act) => { try { return act(); } catch (error) { return String(error.code).replace("ERR_MULTI_NODE_", ""); } };
      const say = () => {
        const limit = nodes.limit("login", { limit: 3, per: 3600000 });
        const checks = Array.from({ length: 4 }, () => limit.check("a"));
        console.log("a", checks.map(({ allowed, remaining }) => allowed + " " + remaining).join());
        console.log("after", checks[3].retryAfter > 1100000 && checks[3].retryAfter <= 1200000, checks[0].retryAfter);
        console.log("b", limit.check("b").remaining, nodes.limit("login", { limit: 3, per: 3600000 }).check("b").remaining, nodes.limit("other", { limit: 3, per: 3600000 }).check("b").remaining);
        nodes.counter("jobs").add(40);
        nodes.counter("jobs").add();
        console.log("jobs", nodes.counter("jobs").value);
        const wrong = [{ limit: 0, per: 1 }, { limit: 1.5, per: 1 }, { limit: 1, per: 0 }, { limit: 1, per: "1m" }, undefined];
        console.log("wrong", wrong.map((quota) => code(() => nodes.limit("login", quota))).join(), code(() => nodes.counter(7)), code(() => nodes.counter("jobs").add(-1)));
        const online = nodes.gauge("online");
        online.set(7);
        online.add(-2);
        console.log("online", nodes.gauge("online").value, code(() => online.add(1.5)));
        let made = 0;
        console.log("counters", code(() => { for (; ; made += 1) nodes.counter("c" + made); }), made);
        const brief = nodes.limit("brief", { limit: 1, per: 50 });
        brief.check("a");
        const { allowed, retryAfter } = brief.check("a");
        setTimeout(() => console.log("brief", allowed, brief.check("a").allowed), retryAfter + 2);
      };
      if (nodes.isMaster) nodes.ready().then(say);
    `);
    await server.says(/^brief false true/m);
    const said = [
      'a true 2,true 1,true 0,false 0', 'after true 0', 'b 2 1 2', 'jobs 41', 'wrong OPTION,OPTION,OPTION,OPTION,OPTION OPTION OPTION', 'online 5 OPTION',
      'counters COUNTERS 255', 'brief false true',
    ];
    assert.deepEqual(server.output.trim().split('\n').slice(-said.length), said);
    assert.equal(await server.stop(), 0);
  });
}
