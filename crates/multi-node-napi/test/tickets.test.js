'use strict';
// TLS sessions: a client that comes back resumes, whichever node it reaches.

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const tls = require('node:tls');
const certificate = require('./certificate.js');
const { folder, program, until } = require('./program.js');

const CERTIFICATE = `require(${JSON.stringify(path.join(__dirname, 'certificate.js'))})`;

const SERVER = `
  const certificate = ${CERTIFICATE};
  const server = require("https").createServer(certificate, (request, response) => {
    if (request.url === "/renew") server.setSecureContext(certificate);
    response.end("hello from " + process.pid + ", key " + server.getTicketKeys().toString("hex"));
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 4, drainTimeout: 5000 }, server);
  if (nodes.isMaster) nodes.on("ready", () => console.log("ready", process.pid));
`;

/** A client that keeps its session. */
class Client {
  #session;
  #options;
  pids = new Set();
  /** The keys that nodes seal by, by their pids. */
  keys = new Map();
  /** Whether it shows the same ticket again and again. */
  keeps = false;

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
      socket.setEncoding('utf8').on('data', (part) => (text += part)).on('error', reject);
      socket.on('end', () => {
        // Not by the event `session`, which a renewed ticket of TLS 1.2 has not.
        if (!this.keeps) this.#session = socket.getSession();
        const [, pid, key] = /hello from (\d+), key (\w+)/.exec(text) ?? [];
        this.pids.add(pid);
        this.keys.set(pid, key);
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

/** The keys of tickets in a file, as several machines share it. */
class KeyFile {
  #keys = [];

  constructor(t) {
    this.at = path.join(folder(t), 'tickets');
    this.rotate();
  }

  /** A new key seals; of the others the one before it opens still. */
  rotate() {
    this.#keys = [randomBytes(32).toString('hex'), ...this.#keys].slice(0, 2);
    fs.writeFileSync(`${this.at}.new`, this.#keys.join('\n'), { mode: 0o600 });
    fs.renameSync(`${this.at}.new`, this.at);
  }
}

/** A server whose keys are in the file. */
async function sharing(t, file) {
  const files = { cert: path.join(folder(t), 'cert.pem'), key: path.join(folder(t), 'key.pem'), ticketKeys: file.at };
  for (const name of ['cert', 'key']) fs.writeFileSync(files[name], certificate[name]);
  const server = await program(t, SERVER.replace('nodes: 4,', `nodes: 4, certificates: ${JSON.stringify(files)},`));
  await server.says(/ready/);
  return server;
}

/** Asserts that the client resumes at each of the nodes. */
async function resumesEverywhere(client, server) {
  client.pids.clear();
  await until('every node', async () => {
    assert.equal(await client.ask(), true, `at a further node than ${[...client.pids]}`);
    return client.pids.size === server.children().length;
  });
}

/** Rotates the keys, and waits until all nodes seal by the new one. */
async function rotate(file, server) {
  const before = await sealedBy(server);
  file.rotate();
  await until('the new key at every node', async () => (await sealedBy(server)) !== before);
}

/** The key by which all nodes seal. */
function sealedBy(server) {
  return until('one key at every node', async () => {
    const client = new Client(server);
    while (client.keys.size < server.children().length) await client.ask();
    const keys = new Set(client.keys.values());
    return keys.size === 1 && [...keys][0];
  });
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  test(`a ${version} ticket is good for two keys: at every node, after a rotation and over a reload, and not after two`, async (t) => {
    const file = new KeyFile(t);
    const server = await sharing(t, file);
    const client = new Client(server, { minVersion: version, maxVersion: version });
    assert.equal(await client.ask(), false);
    client.keeps = true;
    await resumesEverywhere(client, server);
    await rotate(file, server);
    await resumesEverywhere(client, server);
    const first = server.children();
    server.kill('SIGHUP');
    await until('new nodes', () => server.children().length === 4 && server.children().every((pid) => !first.includes(pid)));
    await resumesEverywhere(client, server);
    await rotate(file, server);
    assert.equal(await client.resumed(8), 0, 'its key is gone');
    client.keeps = false;
    assert.equal(await client.resumed(9), 8, 'all but the first');
    assert.equal(await server.stop(), 0);
  });
}

test('a ticket of the key before is replaced by one of the new key', async (t) => {
  const file = new KeyFile(t);
  const server = await sharing(t, file);
  const clients = ['TLSv1.2', 'TLSv1.3'].map((version) => new Client(server, { minVersion: version, maxVersion: version }));
  for (const client of clients) assert.equal(await client.ask(), false);
  for (let rotation = 0; rotation < 2; rotation += 1) {
    await rotate(file, server);
    for (const client of clients) assert.equal(await client.ask(), true);
  }
  assert.equal(await server.stop(), 0);
});
