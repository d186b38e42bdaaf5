'use strict';
// A program that uses the package, under the command `multi-node run`: its processes are nodes of the command.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const http = require('node:http');
const { test } = require('node:test');
const { COMMAND, folder, program, until } = require('./program.js');

const SOURCE = `
  const settings = { keepAliveTimeout: 60000 };
  const server = require("http").createServer(settings, (request, response) => response.end("hello from " + process.pid));
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 7 }, server);
  nodes.on("node", (stream) => stream.write(nodes.id));
  nodes.on("node", (stream) => stream.on("data", (data) => console.log(nodes.id, "hears", String(data))));
`;

test('under `multi-node run` its processes are nodes of the command, and a reload moves idle connections', async (t) => {
  const cwd = folder(t);
  const ask = (...args) => JSON.parse(execFileSync(COMMAND, [...args, '--name', 'run-test', '--json'], { env, encoding: 'utf8' }));
  const env = { ...process.env, XDG_RUNTIME_DIR: cwd };
  const under = [COMMAND, 'run', '-n', '2', '--name', 'run-test', '--'];
  const server = await program(t, SOURCE, { cwd, env, under });
  await server.says(/node-1 hears node-2/);
  await server.says(/node-2 hears node-1/);

  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const first = await server.get('/', { agent });
  await until('a counted request', () => ask('status').slots.some(({ requests }) => requests === 1));
  const report = ask('reload', '--wait');
  assert.deepEqual(report.slots.map(({ aborted }) => aborted), [0, 0]);
  assert.equal(report.slots.reduce((sum, { handed_off: moved }) => sum + moved, 0), 1, JSON.stringify(report));
  const { reusedSocket, text } = await once(server, agent);
  assert.ok(reusedSocket && text !== first, `${first}, then ${text}`);
  agent.destroy();
  assert.equal(await server.stop(), 0);
});

/** A request, and whether its connection is one that was there before. */
function once({ port }, agent) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent }, (response) => {
      response.setEncoding('utf8').once('data', (text) => resolve({ text, reusedSocket: request.reusedSocket }));
    });
    request.on('error', reject);
  });
}
