'use strict';
// Reloads and ends: what clients see of them.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { program, until } = require('./program.js');

const CERTIFICATE = `require(${JSON.stringify(path.join(__dirname, 'certificate.js'))})`;

/** Idle connections stay on a busy machine too. */
const SETTINGS = '{ keepAliveTimeout: 60000 }';

/** Answers with its pid, at once or after a while; reloads on SIGUSR2. */
const SERVER = `
  const server = require("http").createServer(${SETTINGS}, (request, response) => {
    if (request.url !== "/slow") return response.end("hello from " + process.pid);
    console.log("slow begins");
    setTimeout(() => response.end("slow"), 400);
  });
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, drainTimeout: 5000 }, server);
  if (nodes.isMaster) {
    nodes.on("ready", () => console.log("ready"));
    process.on("SIGUSR2", () => nodes.reload().then((report) => console.log("reloaded " + JSON.stringify(report))));
  }
`;

function report([, text]) {
  return JSON.parse(text);
}

test('idle connections go on in other nodes', async (t) => {
  const server = await program(t, SERVER);
  await server.says(/ready/);
  const agent = new http.Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const clients = Array.from({ length: 20 }, () => server.get('/', { agent }));
  const before = new Set(await Promise.all(clients));
  const sockets = Object.values(agent.freeSockets).flat();
  assert.equal(sockets.length, 20);
  server.kill('SIGUSR2');
  const { slots } = report(await server.says(/reloaded (.*)/));
  assert.equal(slots.reduce((sum, { handedOff }) => sum + handedOff, 0), 20);
  const after = await Promise.all(sockets.map(() => server.get('/', { agent })));
  assert.ok(after.every((pid) => !before.has(pid)), 'new nodes answer');
  assert.deepEqual(Object.values(agent.freeSockets).flat().filter((socket) => !sockets.includes(socket)), [], 'on the same connections');
  assert.equal(await server.stop(), 0);
});

/** Opens a connection and gets one request answered on it; `heard` is what has come since. */
async function kept(t, server) {
  const socket = net.connect(server.port, '127.0.0.1').setEncoding('utf8');
  t.after(() => socket.destroy());
  const client = { socket, heard: '', closed: null };
  socket.on('close', (hadError) => (client.closed = { hadError, at: Date.now() }));
  socket.on('data', (text) => (client.heard += text));
  client.ask = async () => {
    client.heard = '';
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('an answer', () => /hello from \d+/.test(client.heard));
    const [pid] = /\d+$/.exec(client.heard.trim().split('\r\n').find((line) => line.startsWith('hello')));
    client.heard = '';
    return Number(pid);
  };
  await client.ask();
  return client;
}

test('an idle connection that was handed off is no silent new one: keepAliveTimeout ends it, and nothing else', async (t) => {
  const settings = '{ headersTimeout: 500, connectionsCheckingInterval: 100, keepAliveTimeout: 4000 }';
  const server = await program(t, SERVER.replace(SETTINGS, settings));
  await server.says(/ready/);
  let reloads = 0;
  let ordered;
  const clients = await until('two reloads that take less than keepAliveTimeout', async () => {
    const clients = await Promise.all(Array.from({ length: 3 }, () => kept(t, server)));
    for (let reload = 1; reload <= 2; reload += 1) {
      // The second time they have said nothing since the first.
      ordered = Date.now();
      server.kill('SIGUSR2');
      reloads += 1;
      await until('the reload', () => server.output.match(/reloaded/g)?.length === reloads);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return Date.now() - ordered < 3000 && clients.every(({ closed }) => !closed) && clients;
  });
  const [silent, asking] = clients;
  assert.ok(server.children().includes(await asking.ask()), 'a new node answers after more than headersTimeout');
  for (const client of [silent, asking]) {
    await until('the end of an idle connection', () => client.closed);
    assert.deepEqual([client.closed.hadError, client.heard], [false, ''], 'no 408');
  }
  assert.ok(silent.closed.at - ordered >= 4000, 'it was closed by keepAliveTimeout');
  assert.ok(asking.closed.at - silent.closed.at > 500, 'which begins anew with each answer');
  assert.equal(await server.stop(), 0);
});

test('no request fails in reloads under load', async (t) => {
  const server = await program(t, SERVER);
  await server.says(/ready/);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  let loads = true;
  let answers = 0;
  const client = async () => {
    for (; loads; answers += 1) await server.get('/', { agent });
  };
  const clients = Array.from({ length: 16 }, client);
  for (let reload = 1; reload <= 5; reload += 1) {
    server.kill('SIGUSR2');
    await until('the reload', () => server.output.match(/reloaded/g)?.length === reload);
  }
  loads = false;
  await Promise.all(clients);
  agent.destroy();
  assert.ok(answers > 100);
  assert.equal(await server.stop(), 0);
});

test('a node whose server is closed gets no connections from others either', async (t) => {
  const server = await program(t, `${SERVER.replace('if (', 'if (request.url === "/close") server.close();\n    if (')}
    if (!nodes.isMaster) setInterval(() => undefined, 1000);
    process.on("SIGWINCH", async () => {
      const { slots } = await nodes.status();
      const { slot } = slots.reduce((one, other) => (one.connections > other.connections ? one : other));
      console.log("restarted", JSON.stringify(await nodes.restart(slot)));
    });
  `);
  await server.says(/ready/);
  const closed = Number(/\d+$/.exec(await server.get('/close'))[0]);
  const clients = await Promise.all(Array.from({ length: 8 }, () => kept(t, server)));
  const before = await clients[0].ask();
  server.kill('SIGWINCH');
  const { handedOff, aborted } = report(await server.says(/restarted (.*)/));
  assert.deepEqual([handedOff, aborted], [8, 0]);
  const pids = new Set(await Promise.all(clients.map((client) => client.ask())));
  assert.ok(pids.size === 1 && !pids.has(closed) && !pids.has(before), `${[...pids]} answer`);
  assert.equal(await server.stop(), 0);
});

test('a handler that exits on SIGTERM does not cut an ordered drain short', async (t) => {
  const server = await program(t, `${SERVER} if (!nodes.isMaster) process.on("SIGTERM", () => process.exit(7));`);
  await server.says(/ready/);
  const slow = server.get('/slow');
  await server.says(/slow begins/);
  assert.equal(await server.stop(), 0);
  assert.equal(await slow, 'slow');
});

test('in a shutdown the last response says that it is the last', async (t) => {
  const server = await program(t, SERVER);
  await server.says(/ready/);
  const agent = new http.Agent({ keepAlive: true });
  const request = http.get({ port: server.port, path: '/slow', agent });
  await server.says(/slow begins/);
  server.kill('SIGTERM');
  const [response] = await once(request, 'response');
  assert.equal(response.headers.connection, 'close');
  response.resume();
  assert.equal(await server.ended, 0);
});

test('kept TLS connections are answered once more in a reload, and told to end', async (t) => {
  const server = await program(t, SERVER.replace(`require("http").createServer(${SETTINGS}`, `require("https").createServer({ ...${CERTIFICATE}, ...${SETTINGS} }`));
  await server.says(/ready/);
  const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });
  const ask = async () => {
    const [response] = await once(https.get({ port: server.port, agent }), 'response');
    const text = (await response.toArray()).join('');
    return { text, connection: response.headers.connection };
  };
  const before = await ask();
  server.kill('SIGUSR2');
  await until('a new node', () => server.children().length > 2);
  await until('the last answer', async () => (await ask()).connection === 'close');
  assert.notEqual((await ask()).text, before.text);
  agent.destroy();
  await server.says(/reloaded/);
  assert.equal(await server.stop(), 0);
});

test('SIGHUP reloads; a node that gets SIGTERM is replaced', async (t) => {
  const server = await program(t, SERVER);
  await server.says(/ready/);
  const [first] = await server.pidsOf(2);
  process.kill(first, 'SIGTERM');
  await until('another node', () => !server.children().includes(first) && server.children().length === 2);
  const before = server.children();
  server.kill('SIGHUP');
  await until('new nodes', () => server.children().length === 2 && server.children().every((pid) => !before.includes(pid)));
  assert.equal(await server.stop(), 0);
});

test('upgraded connections are told by "drain"', async (t) => {
  const server = await program(t, `
    const { WebSocketServer } = require("ws");
    const server = require("http").createServer();
    const sockets = new WebSocketServer({ server });
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, server);
    nodes.on("drain", () => sockets.clients.forEach((socket) => socket.close(1001, "drain")));
    if (nodes.isMaster) nodes.on("ready", () => console.log("ready"));
  `);
  await server.says(/ready/);
  const { WebSocket } = require('ws');
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}`);
  await once(socket, 'open');
  server.kill('SIGTERM');
  const [code] = await once(socket, 'close');
  assert.equal(code, 1001);
  assert.equal(await server.ended, 0);
});
