'use strict';
// TLS sessions: a client that comes back resumes, whichever node it reaches.

const assert = require('node:assert/strict');
const path = require('node:path');
const { test } = require('node:test');
const tls = require('node:tls');
const { program, until } = require('./program.js');

const CERTIFICATE = `require(${JSON.stringify(path.join(__dirname, 'certificate.js'))})`;

const SERVER = `
  const certificate = ${CERTIFICATE};
  const server = require("https").createServer(certificate, (request, response) => {
    if (request.url === "/renew") server.setSecureContext(certificate);
    response.end("hello from " + process.pid);
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 4, drainTimeout: 5000 }, server);
  if (nodes.isMaster) nodes.on("ready", () => console.log("ready", process.pid));
`;

/** A client that keeps its session. */
class Client {
  #session;
  #options;
  pids = new Set();

  constructor(server, options = {}) {
    this.#options = { port: server.port, host: '127.0.0.1', rejectUnauthorized: false, ...options };
  }

  /** One request on a connection of its own; whether it has resumed the session. */
  ask(at = '/') {
    return new Promise((resolve, reject) => {
      let text = '';
      const socket = tls.connect({ ...this.#options, session: this.#session }, () => {
        socket.write(`GET ${at} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      });
      socket.setEncoding('utf8').on('session', (session) => (this.#session = session));
      socket.on('data', (part) => (text += part)).on('error', reject);
      socket.on('end', () => {
        this.pids.add(/hello from (\d+)/.exec(text)?.[1]);
        resolve(socket.isSessionReused());
      });
    });
  }

  /** How many of `connections` new connections resume it. */
  async resumed(connections) {
    let resumed = 0;
    for (let connection = 0; connection < connections; connection += 1) resumed += Number(await this.ask());
    return resumed;
  }
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`a client resumes its ${version} session at every node, after a reload and after an upgrade`, async (t) => {
    const server = await program(t, SERVER);
    await server.says(/ready/);
    const client = new Client(server, { minVersion: version, maxVersion: version });
    assert.equal(await client.resumed(24), 23, 'all but the first');
    assert.ok(client.pids.size > 1, 'by several nodes');
    const first = server.children();
    server.kill('SIGHUP');
    await until('new nodes', () => server.children().length === 4 && server.children().every((pid) => !first.includes(pid)));
    assert.equal(await client.resumed(8), 8, 'after a reload');
    server.kill('SIGUSR2');
    await until('the new master', () => server.output.match(/ready/g).length === 2);
    assert.equal(await client.resumed(8), 8, 'after an upgrade');
    assert.equal(await server.stop(), 0);
  });
}

test('flags of each slot are no hindrance', async (t) => {
  const server = await program(t, SERVER.replace('nodes: 4,', 'nodes: 4, slotArgs: (slot) => ["--title=slot-" + slot],'));
  await server.says(/ready/);
  const client = new Client(server);
  assert.equal(await client.resumed(24), 23, 'all but the first');
  assert.ok(client.pids.size > 1, 'by several nodes');
  assert.equal(await server.stop(), 0);
});

test('a server that gets another certificate keeps the keys', async (t) => {
  const server = await program(t, SERVER);
  await server.says(/ready/);
  const client = new Client(server);
  for (let request = 0; request < 8; request += 1) await client.ask('/renew');
  assert.equal(await client.resumed(8), 8);
  assert.equal(await server.stop(), 0);
});

test('keys of the program are left to it', async (t) => {
  const keys = 'ticketKeys: Buffer.alloc(48, process.pid)';
  const server = await program(t, SERVER.replace(CERTIFICATE, `{ ...${CERTIFICATE}, ${keys} }`));
  await server.says(/ready/);
  const client = new Client(server);
  await until('another node', async () => !(await client.ask()) && client.pids.size > 1);
  assert.equal(await server.stop(), 0);
});
