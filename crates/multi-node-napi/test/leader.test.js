'use strict';
// Jobs that one process does: one node of several, and a process that serves alone.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program, until } = require('./program.js');

/** Each process says when it does the job; the process ids are those of the nodes. */
const JOB = `
  const server = require("http").createServer((request, response) => {
    response.end(String(process.pid));
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, NODES, drainTimeout: 5000 }, server);
  nodes.leader("job", async (signal) => {
    console.log("begin", process.pid);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    console.log("lost", process.pid);
    await new Promise((resolve) => setTimeout(resolve, 100));
    console.log("end", process.pid);
  }).then(() => console.log("over", nodes.id));
  if (nodes.isMaster) nodes.ready().then(() => console.log("ready"));
`;

const job = (nodes) => JOB.replace('NODES', `nodes: ${nodes}`);
const begun = (server) => [...server.output.matchAll(/^begin (\d+)$/gm)].map(([, pid]) => Number(pid));

test('a killed leader is followed by another node, and a reload waits for the end of the job', async (t) => {
  const server = await program(t, job(2));
  await server.says(/^ready/m);
  await until('a leader', () => begun(server).length === 1);
  process.kill(begun(server)[0], 'SIGKILL');
  await until('another leader', () => begun(server).length === 2);
  const [first, second] = begun(server);
  assert.notEqual(first, second);
  process.kill(server.pid, 'SIGHUP');
  await until('a leader of the new program', () => begun(server).length === 3);
  const lines = server.output.split('\n').filter((line) => /^(begin|lost|end) /.test(line));
  const third = begun(server)[2];
  assert.deepEqual(lines, [`begin ${first}`, `begin ${second}`, `lost ${second}`, `end ${second}`, `begin ${third}`]);
  assert.equal(await server.stop(), 0);
  assert.match(server.output, new RegExp(`^end ${third}$`, 'm'));
});

test('a process that serves alone does the job and ends it', async (t) => {
  const server = await program(t, job(0));
  await until('the job', () => begun(server).length === 1);
  assert.equal(await server.stop(), 0);
  assert.match(server.output, /^lost (\d+)\nend \1\nover master$/m);
});

for (const [how, nodes] of [['a node', 1], ['a process that serves alone', 0]]) {
  test(`${how} is told what the job has thrown, and passes the lease on`, async (t) => {
    const server = await program(t, `
      const server = require("http").createServer((request, response) => response.end());
      const nodes = require("@multi-node/server").listen({ port: PORT, nodes: ${nodes} }, server);
      const code = (error) => String(error.code ?? error.message).replace("ERR_MULTI_NODE_", "");
      const ended = (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve));
      const work = async () => {
        const first = nodes.leader("job", async () => { throw new Error("no mail"); });
        const second = nodes.leader("job", () => console.log("second"));
        await first.catch((error) => console.log("first", code(error)));
        await second;
        for (const [name, job] of [["", () => 0], ["x".repeat(256), () => 0], [7, () => 0], ["job", 7]]) await nodes.leader(name, job).catch((error) => console.log("wrong", code(error)));
        const many = Array.from({ length: 65 }, (_, number) => nodes.leader("lease " + number, ended));
        await many[64].catch((error) => console.log("many", code(error)));
        console.log("done");
      };
      if (${nodes} === 0 || !nodes.isMaster) work();
    `);
    await server.says(/^done/m);
    assert.match(server.output, /^first no mail$/m);
    assert.match(server.output, /^second$/m);
    assert.equal(server.output.match(/^wrong LEASE$/gm).length, 4);
    assert.match(server.output, /^many LEASE$/m);
    assert.equal(await server.stop(), 0);
  });
}
