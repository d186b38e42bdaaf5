'use strict';
// The examples, started as they are but for their port.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const WebSocket = require('ws');
const { folder, program, until } = require('./program.js');

/** A visitor, and what it has heard. */
async function visitor(server) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}`);
  const heard = [];
  socket.on('message', (text) => heard.push(String(text)));
  await once(socket, 'open');
  return { socket, heard };
}

test('all visitors of the chat hear each other, and newcomers hear what was said', async (t) => {
  const source = fs.readFileSync(path.join(__dirname, '../examples/chat.js'), 'utf8');
  assert.ok(source.split('\n').length <= 41, 'an example that fits on a screen');
  const server = await program(t, source.replaceAll('8080', 'PORT'));
  await until('the nodes', () => server.get('/').catch(() => undefined));
  const [one, two] = [await visitor(server), await visitor(server)];
  one.socket.send('hello');
  for (const { heard } of [one, two]) await until('the message', () => heard.some((text) => text.endsWith(': hello')));
  one.socket.close();
  two.socket.send('still here');
  const late = await visitor(server);
  await until('what was said', () => late.heard.length >= 2);
  assert.deepEqual(late.heard.map((text) => text.split(': ')[1]), ['hello', 'still here']);
  assert.equal(await server.stop(), 0);
});

/** Asks all nodes while a value is changed, and says what they have of it in the end. */
async function changedWhileLoading(server, key) {
  await server.get(`/${key}/0`, { method: 'PUT' });
  const loads = Array.from({ length: 16 }, () => server.get(`/${key}`));
  await new Promise((resolve) => setTimeout(resolve, 25));
  await server.get(`/${key}/1`, { method: 'PUT' });
  await Promise.all(loads);
  return () => Promise.all(Array.from({ length: 32 }, () => server.get(`/${key}`)));
}

async function startCache(t, env) {
  const cwd = folder(t);
  fs.writeFileSync(path.join(cwd, 'prices.json'), '{}');
  const source = fs.readFileSync(path.join(__dirname, '../examples/cache.js'), 'utf8');
  const server = await program(t, `${source.replaceAll('8080', 'PORT')}\nif (nodes.isMaster) nodes.ready().then(() => console.log('ready'));`, { cwd, env });
  await server.says(/ready/);
  return server;
}

test('the cache without its check keeps a value that was loaded before a change', async (t) => {
  const server = await startCache(t, { UNCHECKED: 'yes' });
  let round = 0;
  await until('a node that keeps an old value', async () => {
    const values = await changedWhileLoading(server, `key${(round += 1)}`);
    // Long after the message. With the check, all nodes have the new value by then: see below.
    await new Promise((resolve) => setTimeout(resolve, 500));
    return (await values()).includes('0');
  });
  assert.equal(await server.stop(), 0);
});

test('the cache with its check has the new value in every node', async (t) => {
  const server = await startCache(t, {});
  for (let round = 0; round < 10; round += 1) {
    const values = await changedWhileLoading(server, `key${round}`);
    await until('the new value in all nodes', async () => (await values()).every((value) => value === '1'), 5000);
  }
  assert.equal(await server.stop(), 0);
});

test('the limit of the example counts for all nodes', async (t) => {
  const source = fs.readFileSync(path.join(__dirname, '../examples/limits.js'), 'utf8');
  const server = await program(t, source.replaceAll('8080', 'PORT').replace('60_000', '3_600_000'));
  await until('the nodes', () => server.get('/').catch(() => undefined));
  const answers = await Promise.all(Array.from({ length: 200 }, () => server.get('/')));
  assert.equal(answers.filter((text) => text.startsWith('hello')).length, 99);
  assert.equal(await server.stop(), 0);
});

test('one node makes the reports, and another when that is killed', async (t) => {
  const source = fs.readFileSync(path.join(__dirname, '../examples/cron.js'), 'utf8');
  const server = await program(t, source.replaceAll('8080', 'PORT').replace('`${nodes.id} makes', '`${nodes.id} ${process.pid} makes'));
  const makers = () => [...new Set([...server.output.matchAll(/ (\d+) makes a report$/gm)].map(([, pid]) => Number(pid)))];
  await until('a report', () => makers().length === 1);
  process.kill(makers()[0], 'SIGKILL');
  await until('a report of another node', () => makers().length === 2);
  assert.equal(await server.stop(), 0);
});

/** Starts an example on a free port. */
function example(t, name, options = {}) {
  const source = fs.readFileSync(path.join(__dirname, '../examples', name), 'utf8');
  return program(t, source.replaceAll('8080', 'PORT'), { name, ...options });
}

const FRAMEWORKS = {
  'express.ts': { flags: ['--import', 'tsx'], files: { 'package.json': '{ "type": "module" }' } },
  'fastify.js': {},
  'koa.js': {},
};

for (const [name, options] of Object.entries(FRAMEWORKS)) {
  test(`the example ${name} serves by several nodes, and is reloaded without a lost request`, async (t) => {
    const server = await example(t, name, options);
    const before = await server.pidsOf(2);
    process.kill(server.pid, 'SIGHUP');
    // What is refused or cut rejects, and fails the test.
    await until('nodes of the next generation', async () => {
      const answers = await Promise.all(Array.from({ length: 4 }, () => server.get('/')));
      return answers.every((text) => /^hello from \d+$/.test(text) && !before.has(Number(text.split(' ').at(-1))));
    });
    assert.equal(await server.stop(), 0);
  });
}

test('the example of WebSockets closes them with a notice, and clients come back to other nodes', async (t) => {
  const server = await example(t, 'websocket.js');
  await until('the nodes', () => visitor(server).then(({ socket }) => socket.close() ?? true, () => false));
  const { socket, heard } = await visitor(server);
  socket.send('hello');
  await until('an answer', () => heard.length === 1);
  process.kill(server.pid, 'SIGHUP');
  const [code, reason] = await once(socket, 'close');
  assert.deepEqual([code, String(reason)], [1012, 'restart']);
  const again = await visitor(server);
  again.socket.send('hello');
  await until('an answer of another node', () => again.heard.length === 1);
  assert.notEqual(again.heard[0], heard[0]);
  again.socket.terminate();
  assert.equal(await server.stop(), 0);
});
