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
