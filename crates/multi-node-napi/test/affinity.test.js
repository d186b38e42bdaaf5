'use strict';
// Requests that one node of several answers, by a key: over new and kept connections, reloads, and nodes that die.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { program, until } = require('./program.js');

const NODES = 4;

/** Counts in its memory how often it was asked for each key. */
const SERVER = (affinity, more = '') => `
  const asked = new Map();
  const server = require("http").createServer({ keepAliveTimeout: 60000 }, (request, response) => {
    const key = /key=([\\w-]+)/.exec((request.headers.cookie ?? "") + request.url + (request.headers["x-user"] ?? ""))?.[1];
    asked.set(key, (asked.get(key) ?? 0) + 1);
    response.end(JSON.stringify({ id: nodes.id, slot: nodes.slot, pid: process.pid, key, count: asked.get(key), owns: nodes.owns(key ?? "") }));
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: ${NODES}, drainTimeout: 5000, backoff: [20000, 20000], affinity: ${JSON.stringify(affinity)} }, server);
  if (nodes.isMaster) {
    nodes.ready().then(() => console.log("ready"));
    process.on("SIGUSR2", () => nodes.reload().then(() => console.log("reloaded")));
  }
  ${more}
`;

const KEYS = Array.from({ length: 24 }, (_, number) => `user-${number}`);

/** How a request carries its key. */
const BY = {
  cookie: (key) => ({ path: '/', headers: { cookie: `a=b; key=${key}` } }),
  query: (key) => ({ path: `/?key=${key}` }),
  header: (key) => ({ path: '/', headers: { 'X-User': `key=${key}` } }),
};

async function ask(server, by, key, agent = false) {
  const { path, ...rest } = BY[by](key);
  return JSON.parse(await server.get(path, { agent, ...rest }));
}

/** Who answers each key, once the nodes know each other: all say the same. */
function owners(server, by) {
  return until('all nodes to agree on the owners', async () => {
    const rounds = await Promise.all([1, 2, 3, 4].map(() => Promise.all(KEYS.map((key) => ask(server, by, key)))));
    const [first, ...others] = rounds.map((round) => round.map(({ id }) => id).join());
    return others.every((other) => other === first) && new Map(rounds[0].map((answer) => [answer.key, answer]));
  });
}

for (const [by, affinity] of [['cookie', { cookie: 'key' }], ['query', { query: 'key' }], ['header', { header: 'x-user' }]]) {
  test(`by ${by} each client has one node, in whose memory its own state is`, async (t) => {
    const server = await program(t, SERVER(affinity));
    await server.says(/^ready/m);
    const owned = await owners(server, by);
    assert.equal(new Set([...owned.values()].map(({ id }) => id)).size, NODES, 'each node owns some');
    const before = await Promise.all(KEYS.map((key) => ask(server, by, key)));
    for (let round = 1; round <= 5; round += 1) {
      const answers = await Promise.all(KEYS.map((key) => ask(server, by, key)));
      for (const [at, { key, id, count, owns }] of answers.entries()) {
        assert.equal(id, owned.get(key).id);
        assert.equal(count, before[at].count + round, 'no other node has counted');
        if (by !== 'header') assert.equal(owns, true);
      }
    }
    assert.equal(await server.stop(), 0);
  });
}

test('kept connections stay with their slots over reloads, and no request is lost', async (t) => {
  const server = await program(t, SERVER({ cookie: 'key' }));
  await server.says(/^ready/m);
  const owned = await owners(server, 'cookie');
  let loads = true;
  let answers = 0;
  const client = async (key) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (; loads; answers += 1) assert.equal((await ask(server, 'cookie', key, agent)).key, key);
    return agent;
  };
  const clients = KEYS.map(client);
  for (let reload = 1; reload <= 2; reload += 1) {
    server.kill('SIGUSR2');
    await until('the reload', () => server.output.match(/^reloaded/gm)?.length === reload);
  }
  loads = false;
  const agents = await Promise.all(clients);
  assert.ok(answers > 100);
  const after = await owners(server, 'cookie');
  for (const [key, { slot, id }] of owned) {
    assert.equal(after.get(key).slot, slot);
    assert.notEqual(after.get(key).id, id);
  }
  for (const agent of agents) agent.destroy();
  assert.equal(await server.stop(), 0);
});

test('a client address has one node', async (t) => {
  const server = await program(t, SERVER({ clientAddress: true }));
  await server.says(/^ready/m);
  await until('one node to answer all', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(server, 'query', 'any')));
    return new Set(answers.map(({ id }) => id)).size === 1;
  });
  assert.equal(await server.stop(), 0);
});

test('a head that comes in parts goes to its owner; one that does not come is no obstacle', async (t) => {
  const server = await program(t, SERVER({ header: 'x-user' }));
  await server.says(/^ready/m);
  const owned = await owners(server, 'header');
  const talk = async (parts) => {
    const socket = net.connect(server.port, '127.0.0.1').setEncoding('utf8').setNoDelay();
    t.after(() => socket.destroy());
    let heard = '';
    socket.on('data', (text) => (heard += text));
    for (const part of parts) {
      socket.write(part);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await until('an answer', () => heard.endsWith('}'));
    socket.end();
    await once(socket, 'close');
    return JSON.parse(/\{.*/.exec(heard)[0]);
  };
  for (const key of KEYS.slice(0, 8)) {
    const answer = await talk(['GET / HT', `TP/1.1\r\nHost: x\r\nX-Us`, `er: key=${key}`, '\r\n\r\n']);
    assert.equal(answer.id, owned.get(key).id);
  }
  const cut = net.connect(server.port, '127.0.0.1').resume();
  cut.end('GET / HTTP/1.1\r\nX-Us');
  await once(cut, 'close');
  const silent = net.connect(server.port, '127.0.0.1');
  t.after(() => silent.destroy());
  const late = talk(['GET / HTTP/1.1\r\nHost: x\r\n', ...Array.from({ length: 60 }, (_, number) => `A${number}: b\r\n`), '\r\n']);
  assert.ok((await late).id, 'it is answered after its second');
  assert.equal(await server.stop(), 0);
});

test('without its owner a request is answered by any node', async (t) => {
  const server = await program(t, SERVER({ query: 'key' }));
  await server.says(/^ready/m);
  const before = await owners(server, 'query');
  const { id: killed, pid } = before.get(KEYS[0]);
  process.kill(pid, 'SIGKILL');
  await until('its end', () => !server.children().includes(pid));
  const answers = await until('answers', () => Promise.all(KEYS.map((key) => ask(server, 'query', key))).catch(() => null));
  for (const { key, id } of answers) {
    assert.notEqual(id, killed);
    if (before.get(key).id !== killed) assert.equal(id, before.get(key).id);
  }
  assert.equal(await server.stop(), 0);
});

/** A kept connection as a proxy has it. */
class Kept {
  #socket;
  #text = '';

  static async to(t, server) {
    const kept = new Kept();
    kept.#socket = net.connect(server.port, '127.0.0.1').setEncoding('utf8').setNoDelay();
    kept.#socket.on('data', (text) => (kept.#text += text));
    t.after(() => kept.#socket.destroy());
    await once(kept.#socket, 'connect');
    return kept;
  }

  send(key, body = '') {
    const method = body === '' ? 'GET' : 'POST';
    this.#socket.write(`${method} /?key=${key} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  }

  /** The next answer. */
  async answer() {
    const found = await until('an answer', () => /\r\n\r\n(?:[0-9a-f]+\r\n)?(\{.*?\})(?:\r\n0\r\n\r\n)?/s.exec(this.#text) ?? (this.#socket.destroyed && Promise.reject(new Error('it was closed'))));
    this.#text = this.#text.slice(found.index + found[0].length);
    return JSON.parse(found[1]);
  }

  async ask(key, body) {
    this.send(key, body);
    return this.answer();
  }
}

test('on a connection that mixes clients, as one of a proxy, each request is answered by the owner of its key', async (t) => {
  const server = await program(t, SERVER({ query: 'key' }));
  await server.says(/^ready/m);
  const owned = await owners(server, 'query');
  const proxy = async (first) => {
    const kept = await Kept.to(t, server);
    for (let turn = first; turn < first + 60; turn += 1) {
      const key = KEYS[(turn * 7) % KEYS.length];
      const answer = await kept.ask(key, turn % 3 === 0 ? 'a body' : '');
      assert.deepEqual([answer.key, answer.id], [key, owned.get(key).id]);
    }
  };
  await Promise.all(Array.from({ length: 12 }, (_, first) => proxy(first)));
  const kept = await Kept.to(t, server);
  await new Promise((resolve) => setTimeout(resolve, 1300));
  for (const key of KEYS.slice(0, 8)) assert.equal((await kept.ask(key)).id, owned.get(key).id, 'also on one that was silent at first');
  // What comes in one piece with the request before is answered with it.
  for (const key of KEYS) kept.send(key);
  for (const key of KEYS) assert.equal((await kept.answer()).key, key);
  assert.equal((await kept.ask(KEYS[0])).id, owned.get(KEYS[0]).id);
  assert.equal(await server.stop(), 0);
});

test('connections that mix clients lose no request in reloads', async (t) => {
  const server = await program(t, SERVER({ query: 'key' }));
  await server.says(/^ready/m);
  const owned = await owners(server, 'query');
  let loads = true;
  let answers = 0;
  const clients = Array.from({ length: 12 }, async (_, first) => {
    const kept = await Kept.to(t, server);
    for (let turn = first; loads; turn += 1, answers += 1) {
      const key = KEYS[turn % KEYS.length];
      assert.equal((await kept.ask(key)).key, key);
    }
    return kept;
  });
  for (let reload = 1; reload <= 2; reload += 1) {
    server.kill('SIGUSR2');
    await until('the reload', () => server.output.match(/^reloaded/gm)?.length === reload);
  }
  loads = false;
  const [kept] = await Promise.all(clients);
  assert.ok(answers > 100);
  const after = await owners(server, 'query');
  for (const key of KEYS) {
    assert.equal(after.get(key).slot, owned.get(key).slot);
    assert.equal((await kept.ask(key)).id, after.get(key).id);
  }
  assert.equal(await server.stop(), 0);
});
