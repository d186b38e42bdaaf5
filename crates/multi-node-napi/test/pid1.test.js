'use strict';
// In a container the master is PID 1, which inherits every orphan.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { test } = require('node:test');
const { needs } = require('./needs.js');
const { program, until } = require('./program.js');

const UNDER = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
const possible = spawnSync(UNDER[0], [...UNDER.slice(1), 'true']).status === 0;
const skip = needs(possible, `\`${UNDER.join(' ')}\` does not work here; root may make a PID namespace`);

test('PID 1 reaps the orphans of nodes, and the exit of its own child is heard', { skip }, async (t) => {
  const server = await program(t, `
    const fs = require("fs");
    const { spawn } = require("child_process");
    const stats = () => fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name)).map((name) => {
      try { return fs.readFileSync("/proc/" + name + "/stat", "utf8"); } catch { return ""; }
    });
    const server = require("http").createServer((request, response) => {
      if (request.url === "/orphan") spawn("sh", ["-c", "sleep 0.1 & exit 0"]).on("exit", (code) => response.end("left " + code));
      else response.end(String(stats().filter((stat) => stat.includes("(sleep)")).length));
    });
    // libuv takes the signal of ended children for itself when the first is started.
    spawn("sh", ["-c", "exit 7"]).on("exit", (code) => console.log("own child", code));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
    if (nodes.isMaster) nodes.on("ready", () => {
      console.log("ready as", process.pid);
      spawn("sh", ["-c", "exit 8"]).on("exit", (code) => console.log("later child", code));
    });
  `, { under: UNDER });
  await server.says(/ready as 1\b/);
  await server.says(/own child 7/);
  await server.says(/later child 8/);
  for (let orphan = 0; orphan < 3; orphan += 1) assert.equal(await server.get('/orphan'), 'left 0');
  await until('the orphans to have been reaped', async () => (await server.get('/')) === '0');
  process.kill(server.children()[0], 'SIGTERM');
  assert.equal(await server.ended, 0);
});
