'use strict';
// Nodes run as another user.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { needs } = require('./needs.js');
const { folder, program, until } = require('./program.js');

const skip = needs(process.getuid?.() === 0, 'only root starts nodes as another user');

test('nodes run as another user, and the master does not', { skip }, async (t) => {
  const cwd = folder(t);
  fs.chmodSync(cwd, 0o755);
  const server = await program(t, `
    const tell = () => JSON.stringify([process.getuid(), process.getgid(), process.getgroups(), process.umask(), process.env.HOME]);
    const server = require("http").createServer((request, response) => response.end(tell()));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, user: 65534, group: 65534, umask: 0o077 }, server);
    nodes.on("ready", () => nodes.isMaster && console.log("ready", process.getuid()));
  `, { cwd });
  await server.says(/ready 0/);
  const [uid, gid, groups, umask] = JSON.parse(await server.get('/'));
  assert.deepEqual([uid, gid, groups, umask], [65534, 65534, [65534], 0o077]);
  assert.equal(await server.stop(), 0);
});

test('nodes of another user hold and lose a lease', { skip }, async (t) => {
  const cwd = folder(t);
  fs.chmodSync(cwd, 0o755);
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end());
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, user: 65534, group: 65534 }, server);
    nodes.leader("job", async (signal) => {
      console.log("begin", process.pid, process.getuid());
      await require("events").once(signal, "abort");
      console.log("end", process.pid);
    });
  `, { cwd });
  const begun = () => [...server.output.matchAll(/^begin (\d+) 65534$/gm)].map(([, pid]) => Number(pid));
  const leader = async (count) => (await until(`leader ${count}`, () => begun().length === count && begun())).at(-1);
  const first = await leader(1);
  process.kill(first, 'SIGKILL');
  const second = await leader(2);
  assert.notEqual(second, first);
  process.kill(server.pid, 'SIGHUP');
  const third = await leader(3);
  assert.match(server.output, new RegExp(`^end ${second}\nbegin ${third} `, 'm'));
  assert.equal(await server.stop(), 0);
  assert.match(server.output, new RegExp(`^end ${third}$`, 'm'));
});
