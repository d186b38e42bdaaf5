'use strict';
// Hostile clients and kills, against programs that use the package and against unmodified ones under `multi-node run`: what Node.js itself
// withstands, both do.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { test } = require('node:test');
const { COMMAND, folder, program, until } = require('./program.js');

const HTTP = `
  const server = require("http").createServer({ headersTimeout: 1000, connectionsCheckingInterval: 100 }, (request, response) => {
    response.end("hello from " + process.pid);
  });
`;

const RUN = [COMMAND, 'run', '-n', '2', '--'];

/** Starts the server by one of the two ways, under a command if one is given. */
const FACES = {
  'the package': (t, under = []) => start(t, 'require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);', under),
  'multi-node run': (t, under = []) => start(t, 'server.listen(PORT);', [...under, ...RUN]),
};

async function start(t, listens, under) {
  const cwd = folder(t);
  const server = await program(t, `${HTTP}${listens}`, { cwd, env: { XDG_RUNTIME_DIR: cwd }, under });
  await server.pidsOf(2);
  return server;
}

/** A connection that has said this. Its errors are the attacker's. */
async function connection(t, { port }, said = '') {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => undefined);
  t.after(() => socket.destroy());
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  if (said !== '') socket.write(said);
  return socket;
}

const connections = (t, server, count, said) => Promise.all(Array.from({ length: count }, () => connection(t, server, said)));

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

for (const [face, serve] of Object.entries(FACES)) {
  test(`${face}: clients that shut down their writing side are answered, in reloads too`, async (t) => {
    const server = await serve(t);
    const ask = async () => {
      const socket = await connection(t, server);
      socket.end(GET);
      const answer = (await socket.setEncoding('utf8').toArray()).join('');
      assert.match(answer, /hello from \d+/);
      return Number(/hello from (\d+)/.exec(answer)[1]);
    };
    for (let reload = 0; reload < 3; reload += 1) {
      const before = await server.pidsOf(2);
      server.kill('SIGHUP');
      await until('answers of new nodes alone', async () => {
        const pids = await Promise.all(Array.from({ length: 20 }, ask));
        return pids.every((pid) => !before.has(pid));
      });
    }
    assert.equal(await server.stop(), 0);
  });

  test(`${face}: heads that never end are given up, and nobody waits for them`, async (t) => {
    const server = await serve(t);
    const slow = await connections(t, server, 300, 'GET / HTTP/1.1\r\nX-Slow: ');
    const ends = slow.map((socket) => once(socket.resume(), 'end'));
    for (let request = 0; request < 50; request += 1) assert.match(await server.get('/'), /hello/);
    await Promise.all(ends);
    assert.equal(await server.stop(), 0);
  });

  test(`${face}: a flood of connections that are reset, and of garbage, ends no node`, async (t) => {
    const server = await serve(t);
    const before = server.children();
    for (let wave = 0; wave < 10; wave += 1) {
      const flood = await connections(t, server, 100, wave % 2 === 0 ? GET : '\0garbage\r\n\r\n');
      for (const socket of flood) socket.resetAndDestroy();
    }
    assert.match(await server.get('/'), /hello/);
    assert.deepEqual(server.children(), before);
    assert.equal(await server.stop(), 0);
  });

  test(`${face}: kills cost connections of the killed node, and nothing else`, async (t) => {
    const server = await serve(t);
    for (let kill = 0; kill < 5; kill += 1) {
      const [victim] = await server.pidsOf(2);
      process.kill(victim, 'SIGKILL');
      let failed = 0;
      await Promise.all(Array.from({ length: 20 }, () => server.get('/').catch(() => (failed += 1))));
      assert.ok(failed <= 10, `${failed} of 20 have failed`);
      for (let request = 0; request < 10; request += 1) assert.match(await server.get('/'), /hello/, 'the other serves');
      await until('another node', async () => !(await server.pidsOf(2)).has(victim));
    }
    assert.equal(await server.stop(), 0);
  });

  test(`${face}: more connections than there are descriptors wait, and the rest is served when they have gone`, async (t) => {
    const limited = ['sh', '-c', 'ulimit -n 256; exec "$@"', 'sh'];
    const server = await serve(t, limited);
    const nodes = await server.pidsOf(2);
    const idle = await connections(t, server, 700, GET);
    for (const socket of idle) socket.destroy();
    await until('an answer', () => server.get('/', { timeout: 5000 }).then((text) => /hello/.test(text), () => false));
    assert.deepEqual(await server.pidsOf(2), nodes, 'no node has ended');
    assert.equal(await server.stop(), 0);
  });
}
