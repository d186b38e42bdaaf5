'use strict';
// Sessions that all processes share: the store alone, and under express-session and @fastify/session.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { promisify } = require('node:util');
const session = require('express-session');
const { SessionStore } = require('../js/session.js');
const { COMMAND, folder, program, until } = require('./program.js');

const HOUR = 3_600_000;
const lasting = (time, more = {}) => ({ cookie: { originalMaxAge: time, expires: new Date(Date.now() + time) }, ...more });

/** A store in a folder of its own; its methods return promises. */
function storeIn(t, options = {}, at = path.join(folder(t), 'sessions')) {
  const store = new SessionStore({ path: at, ...options });
  const names = ['get', 'set', 'touch', 'destroy', 'clear', 'length', 'all'];
  return { store, at, ...Object.fromEntries(names.map((name) => [name, promisify(store[name]).bind(store)])) };
}

test('a session is stored, read by every store, changed and destroyed', async (t) => {
  const one = storeIn(t);
  const other = storeIn(t, {}, one.at);
  assert.equal(await one.get('123'), null);
  await one.set('123', lasting(HOUR, { name: 'Ada' }));
  const found = await other.get('123');
  assert.equal(found.name, 'Ada');
  assert.equal(found.cookie.originalMaxAge, HOUR);
  await other.set('123', lasting(HOUR, { name: 'Grace' }));
  assert.equal((await one.get('123')).name, 'Grace');
  await one.destroy('123');
  assert.equal(await other.get('123'), null);
  await one.destroy('123');
});

test('sessions are counted, listed and cleared', async (t) => {
  const store = storeIn(t);
  for (let number = 0; number < 300; number += 1) await store.set(`s${number}`, lasting(HOUR, { number }));
  await store.set('expired', lasting(-1));
  await store.destroy('s0');
  assert.equal(await store.length(), 299);
  const all = await store.all();
  assert.deepEqual(all.map(({ number }) => number), Array.from({ length: 299 }, (_, index) => index + 1));
  assert.equal(all[0].id, 's1');
  await store.clear();
  assert.deepEqual([await store.length(), await store.all()], [0, []]);
});

test('an expired session is absent, and one without an end is kept for `ttl`', async (t) => {
  const store = storeIn(t, { ttl: 200 });
  await store.set('brief', lasting(150));
  await store.set('endless', { cookie: { expires: null } });
  assert.ok((await store.get('brief')) && (await store.get('endless')));
  await until('both have expired', async () => !(await store.get('brief')) && !(await store.get('endless')));
});

test('a touch moves the end and nothing else', async (t) => {
  const store = storeIn(t);
  await store.set('123', lasting(300, { name: 'Ada' }));
  await store.touch('123', lasting(HOUR, { name: 'ignored' }));
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal((await store.get('123')).name, 'Ada');
  await store.touch('nobody', lasting(HOUR));
  assert.equal(await store.get('nobody'), null);
});

test('a session that was destroyed stays so, whoever still has it', async (t) => {
  const store = storeIn(t);
  await store.set('123', lasting(HOUR));
  await store.destroy('123');
  await store.set('123', lasting(HOUR, { name: 'late' }));
  await store.touch('123', lasting(HOUR));
  assert.equal(await store.get('123'), null);
});

test('failures are told to the callback, with a code and what to do', async (t) => {
  const store = storeIn(t, { maxSessionBytes: 1000 });
  await assert.rejects(store.set('123', lasting(HOUR, { text: 'x'.repeat(2000) })), {
    code: 'ERR_MULTI_NODE_SESSION_REFUSED',
    message: /larger than `maxSessionBytes` \(1000\)/,
  });
  await assert.rejects(store.get('x'.repeat(300)), { code: 'ERR_MULTI_NODE_SESSION_REFUSED' });
  const circular = {};
  circular.self = circular;
  await assert.rejects(store.set('123', circular), TypeError);
  const damaged = path.join(folder(t), 'damaged');
  fs.mkdirSync(damaged, { mode: 0o700 });
  fs.writeFileSync(path.join(damaged, 'sessions.db'), 'no database', { mode: 0o600 });
  const refused = storeIn(t, {}, damaged);
  await assert.rejects(refused.get('123'), { code: 'ERR_MULTI_NODE_SESSIONS_UNUSABLE', message: /is damaged.*remove it/ });
  await assert.rejects(refused.set('123', lasting(HOUR)), { code: 'ERR_MULTI_NODE_SESSIONS_UNUSABLE' });
});

test('options are checked by name and value', () => {
  assert.throws(() => new SessionStore({ maxByte: 1 }), { code: 'ERR_MULTI_NODE_OPTION', message: /did you mean `maxBytes`\?/ });
  assert.throws(() => new SessionStore({ ttl: 0 }), { code: 'ERR_MULTI_NODE_OPTION', message: /`ttl`: 0 is not allowed/ });
  assert.ok(new SessionStore({ path: '/tmp/x' }) instanceof session.Store);
});

/** A client that keeps its cookie. */
class Client {
  #server;
  #cookie = '';

  constructor(server) {
    this.#server = server;
  }

  ask(at) {
    return new Promise((resolve, reject) => {
      const headers = this.#cookie ? { cookie: this.#cookie } : {};
      http.get({ host: '127.0.0.1', port: this.#server.port, path: at, agent: false, headers }, (response) => {
        const [cookie] = response.headers['set-cookie'] ?? [];
        if (cookie) this.#cookie = cookie.split(';')[0];
        let text = '';
        response.setEncoding('utf8').on('data', (part) => (text += part)).on('end', () => resolve(text));
      }).on('error', reject);
    });
  }

  /** How many of the requests know the session's user, and how many processes have answered. */
  async known(requests) {
    const answers = [];
    for (let request = 0; request < requests; request += 1) answers.push(await this.ask('/'));
    const pids = new Set(answers.map((answer) => answer.split(' ')[1]));
    return [answers.filter((answer) => answer.startsWith('Ada ')).length, pids.size];
  }
}

const EXPRESS = `
  const express = require("express");
  const session = require("express-session");
  const { SessionStore } = require("@multi-node/server/session");
  const { listen } = require("@multi-node/server");
  const app = express();
  app.use(session({ store: new SessionStore(), secret: "x", resave: false, saveUninitialized: false }));
  app.get("/", (request, response) => response.send((request.session.name ?? "nobody") + " " + process.pid));
  app.get("/login", (request, response) => request.session.regenerate(() => {
    request.session.name = "Ada";
    response.send("welcome");
  }));
  app.get("/logout", (request, response) => request.session.destroy(() => response.send("bye")));
  const nodes = listen({ port: PORT, nodes: 4 }, require("http").createServer(app));
  if (nodes.isMaster) nodes.on("ready", () => console.log("ready"));
`;

const FASTIFY = `
  const fastify = require("fastify")();
  const { SessionStore } = require("@multi-node/server/session");
  const { listen } = require("@multi-node/server");
  fastify.register(require("@fastify/cookie"));
  fastify.register(require("@fastify/session"), { store: new SessionStore(), secret: "x".repeat(32), cookie: { secure: false } });
  fastify.get("/", async (request) => (request.session.name ?? "nobody") + " " + process.pid);
  fastify.get("/login", async (request) => { await request.session.regenerate(); request.session.name = "Ada"; return "welcome"; });
  fastify.get("/logout", async (request) => { await request.session.destroy(); return "bye"; });
  const nodes = listen({ port: PORT, nodes: 4 }, fastify);
  if (nodes.isMaster) nodes.on("ready", () => console.log("ready"));
`;

for (const [name, source] of Object.entries({ 'express-session': EXPRESS, '@fastify/session': FASTIFY })) {
  test(`${name}: a log-in holds at every node, over a reload and an upgrade, until the log-out`, async (t) => {
    const server = await program(t, source);
    await server.says(/ready/);
    const client = new Client(server);
    assert.equal(await client.ask('/login'), 'welcome');
    const [known, pids] = await client.known(40);
    assert.equal(known, 40);
    assert.ok(pids > 1, 'several nodes have answered');
    const first = server.children();
    server.kill('SIGHUP');
    assert.equal((await client.known(40))[0], 40, 'during a reload');
    await until('new nodes', () => server.children().length === 4 && server.children().every((pid) => !first.includes(pid)));
    assert.equal((await client.known(40))[0], 40, 'after a reload');
    server.kill('SIGUSR2');
    await until('the new master', () => server.output.match(/ready/g).length === 2);
    assert.equal((await client.known(40))[0], 40, 'after an upgrade');
    assert.equal(await client.ask('/logout'), 'bye');
    assert.equal((await client.known(10))[0], 0);
    assert.equal(await server.stop(), 0);
  });
}

test('sessions are gone when the program has ended, and survive that in $STATE_DIRECTORY', async (t) => {
  const cwd = folder(t);
  const runtime = path.join(cwd, 'runtime');
  const state = path.join(cwd, 'state');
  for (const made of [runtime, state]) fs.mkdirSync(made, { mode: 0o700 });
  for (const [env, survive] of [[{ XDG_RUNTIME_DIR: runtime }, 0], [{ XDG_RUNTIME_DIR: runtime, STATE_DIRECTORY: state }, 10]]) {
    const server = await program(t, EXPRESS, { cwd, env });
    await server.says(/ready/);
    const client = new Client(server);
    await client.ask('/login');
    assert.equal((await client.known(10))[0], 10);
    assert.equal(await server.stop(), 0);
    assert.deepEqual(fs.readdirSync(path.join(runtime, 'multi-node')).filter((name) => name.startsWith('run-')), []);
    const again = await program(t, EXPRESS.replaceAll('PORT', String(server.port)), { cwd, env });
    await again.says(/ready/);
    assert.equal((await client.known(10))[0], survive);
    assert.equal(await again.stop(), 0);
  }
});

test('a Rust program keeps its sessions in the same file, and neither disturbs the other', async (t) => {
  const cwd = folder(t);
  const [runtime, state] = ['runtime', 'state'].map((name) => path.join(cwd, name));
  for (const made of [runtime, state]) fs.mkdirSync(made, { mode: 0o700 });
  const env = { XDG_RUNTIME_DIR: runtime, STATE_DIRECTORY: state };
  const example = path.join(path.dirname(COMMAND), 'examples/sessions');
  const node = await program(t, EXPRESS, { cwd, env });
  const rust = await program(t, '', { name: 'unused.js', cwd, env: (port) => ({ ...env, PORT: String(port) }), under: [example] });
  await node.says(/ready/);
  await rust.says(/http/);
  const comes = async (server, at) => {
    const client = new Client(server);
    assert.match(await client.ask(at), /^welcome/);
    assert.equal((await client.known(10))[0], 10);
    return client;
  };
  const twenty = Array.from({ length: 20 });
  const clients = await Promise.all(twenty.flatMap(() => [comes(node, '/login'), comes(rust, '/login/Ada')]));
  assert.equal(await storeIn(t, {}, path.join(state, 'sessions')).length(), 40);
  for (const server of [node, rust]) process.kill(server.children()[0], 'SIGKILL');
  await Promise.all(clients.map(async (client) => until('its session', async () => (await client.known(1).catch(() => [0]))[0] === 1)));
  assert.deepEqual([await node.stop(), await rust.stop()], [0, 0]);
});

test('a process that serves alone keeps sessions too', async (t) => {
  const server = await program(t, EXPRESS, { env: { MULTI_NODE: 'off' } });
  await until('it answers', () => server.get('/').catch(() => ''));
  const client = new Client(server);
  assert.equal(await client.ask('/login'), 'welcome');
  assert.deepEqual(await client.known(10), [10, 1]);
  assert.equal(await server.stop(), 0);
});
