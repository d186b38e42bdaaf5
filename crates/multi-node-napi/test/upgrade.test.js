'use strict';
// The master replaced in its process, by the script as it is on disk by then.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { program, until } = require('./program.js');

/** Says which release it is, in answers and, in the master, on its output. */
const release = (name, more = '') => `
  process.title = "a title that is written over the arguments";
  const server = require("http").createServer((request, response) => response.end("${name} " + process.pid));
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, drainTimeout: 5000 }, server);
  if (nodes.isMaster) {
    nodes.on("ready", async () => {
      const { slots } = await nodes.status();
      console.log("${name} supervises", process.pid, process.argv[2], process.execArgv[0], slots.map(({ id }) => id).join());
    });
    nodes.on("exit", (exit) => console.log("exit", JSON.stringify(exit)));
    nodes.on("commandFailed", ({ code, message }) => console.log(code, message));
    nodes.on("node", (stream) => stream.on("data", (data) => console.log("${name} hears", String(data))));
    ${more}
  } else {
    nodes.on("node", (stream) => stream.isMaster && stream.write(nodes.id + " of ${name};"));
  }
`;

const PLACE = { args: ['an argument'], flags: ['--stack-trace-limit=7'] };

/** Loads the server with kept connections and new ones until `stop` is called, which returns how many were answered. */
function load(server) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  let loads = true;
  let answers = 0;
  const client = async (options) => {
    for (; loads; answers += 1) assert.match(await server.get('/', options), /^\w+ \d+$/);
  };
  const clients = Array.from({ length: 16 }, (_, index) => client(index < 8 ? { agent } : {}));
  const failed = Promise.all(clients);
  failed.catch(() => undefined);
  return async () => {
    loads = false;
    await failed;
    agent.destroy();
    return answers;
  };
}

test('an upgrade keeps the pid and loses no request, and the next one does the same', async (t) => {
  const server = await program(t, release('first'), PLACE);
  await server.says(/first supervises/);
  const stop = load(server);
  for (const name of ['second', 'third']) {
    const old = server.children();
    server.write('server.js', release(name));
    server.kill('SIGUSR2');
    const [, pid, argument, flag] = await server.says(new RegExp(`${name} supervises (\\d+) (.+) (--\\S+) node`));
    assert.deepEqual([Number(pid), argument, flag], [server.pid, 'an argument', '--stack-trace-limit=7']);
    await server.says(new RegExp(`${name} hears node-\\d+ of ${name}`));
    await until('the old nodes to have ended', () => server.children().every((pid) => !old.includes(pid)));
    assert.match(await server.get('/'), new RegExp(`^${name}`));
  }
  // The new master supervises.
  const [victim] = server.children();
  process.kill(victim, 'SIGKILL');
  assert.ok((await stop().catch(() => 1)) > 0);
  await until('another node', () => server.children().length === 2 && !server.children().includes(victim));
  assert.equal(await server.stop(), 0);
});

test('a new script that does not reach `listen` changes nothing', async (t) => {
  const server = await program(t, release('first'), PLACE);
  await server.says(/first supervises/);
  const before = server.children();
  server.write('server.js', 'throw new Error("broken");');
  server.kill('SIGUSR2');
  await server.says(/ERR_MULTI_NODE_FAILED .*before it reached `listen`/);
  assert.match(server.output, /Error: broken/, 'its own output says why');
  assert.deepEqual(server.children(), before);
  assert.match(await server.get('/'), /^first/);
  server.write('server.js', release('second').replace('port: PORT', 'port: 0'));
  server.kill('SIGUSR2');
  await server.says(/ERR_MULTI_NODE_FAILED .*the new program wants to serve/);
  assert.deepEqual(server.children(), before);
  assert.equal(await server.stop(), 0);
});

test('a program that has a handler of its own for SIGUSR2 keeps it', async (t) => {
  const server = await program(t, release('first', 'process.on("SIGUSR2", () => console.log("mine"));'));
  await server.says(/first supervises/);
  const before = server.children();
  server.kill('SIGUSR2');
  await server.says(/mine/);
  assert.deepEqual(server.children(), before);
  assert.equal(await server.stop(), 0);
});
