'use strict';
// Every kind of server, and that it behaves as after `server.listen`.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { program, until } = require('./program.js');

const KINDS = {
  'a request handler': '(request, response) => response.end("hello from " + process.pid)',
  'an Express application': 'require("express")().get("/", (request, response) => response.send("hello from " + process.pid))',
  'a Koa application': '(() => { const app = new (require("koa"))(); app.use((context) => { context.body = "hello from " + process.pid; }); return app; })()',
  'a Fastify application': '(() => { const app = require("fastify")(); app.get("/", async () => "hello from " + process.pid); return app; })()',
};

for (const [kind, source] of Object.entries(KINDS)) {
  test(`${kind} is served`, async (t) => {
    const server = await program(t, `require("@multi-node/server").listen({ port: PORT, nodes: 2 }, ${source});`);
    assert.equal((await server.pidsOf(2)).size, 2);
    assert.equal(await server.stop(), 0);
  });
}

const CERTIFICATE = `require(${JSON.stringify(path.join(__dirname, 'certificate.js'))})`;

test('an https server is served', async (t) => {
  const server = await program(t, `
    const server = require("https").createServer(${CERTIFICATE}, (request, response) => response.end(request.url));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, server);
    nodes.on("ready", () => console.log("ready"));
  `);
  await server.says(/ready/);
  const [response] = await once(https.get({ port: server.port, path: '/secret', rejectUnauthorized: false, agent: false }), 'response');
  assert.equal((await response.toArray()).join(''), '/secret');
  assert.equal(await server.stop(), 0);
});

test('an http2 server is served, and sends GOAWAY in a drain', async (t) => {
  const server = await program(t, `
    const server = require("http2").createServer((request, response) => response.end(String(process.pid)));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, server);
    if (nodes.isMaster) nodes.on("ready", () => console.log("ready"));
    process.on("SIGUSR2", () => nodes.isMaster && nodes.reload().then(() => console.log("reloaded")));
  `);
  await server.says(/ready/);
  const session = http2.connect(`http://127.0.0.1:${server.port}`);
  const stream = session.request({ ':path': '/' });
  assert.match((await stream.toArray()).join(''), /\d+/);
  server.kill('SIGUSR2');
  await once(session, 'close');
  await server.says(/reloaded/);
  assert.equal(await server.stop(), 0);
});

test('a net server keeps its own settings', async (t) => {
  const server = await program(t, `
    const server = require("net").createServer({ allowHalfOpen: true, highWaterMark: 1000 }, (socket) => {
      let text = "";
      socket.on("data", (part) => (text += part));
      socket.on("end", () => socket.end(text + " " + socket.readableHighWaterMark + " " + socket.allowHalfOpen));
    });
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, server);
    nodes.on("ready", () => console.log("ready"));
  `);
  await server.says(/ready/);
  const socket = net.connect(server.port, '127.0.0.1');
  socket.end('bytes');
  assert.equal((await socket.toArray()).join(''), 'bytes 1000 true');
  assert.equal(await server.stop(), 0);
});

test('a server tells what it would tell after listen', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer(async (request, response) => {
      const count = await new Promise((resolve) => server.getConnections((error, count) => resolve(count)));
      response.end(JSON.stringify({ address: server.address(), listening: server.listening, count, heard }));
    });
    let heard = 0;
    server.on("listening", () => (heard += 1));
    const nodes = require("@multi-node/server").listen({ port: PORT, host: "127.0.0.1", nodes: 1 }, server);
    nodes.on("ready", () => console.log("ready"));
  `);
  await server.says(/ready/);
  const told = JSON.parse(await server.get('/'));
  assert.deepEqual(told, { address: { address: '127.0.0.1', family: 'IPv4', port: server.port }, listening: true, count: 1, heard: 1 });
  assert.equal(await server.stop(), 0);
});

test('a node whose server closes leaves the queue, and tells when its last connection has ended', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => {
      if (request.url === "/close") server.close(() => console.log("closed", process.pid));
      response.end(String(process.pid));
    });
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
    setInterval(() => undefined, 1000);
    nodes.on("ready", () => console.log("ready"));
  `);
  await server.says(/ready/);
  const closed = await server.get('/close');
  await server.says(new RegExp(`closed ${closed}`));
  for (let request = 0; request < 8; request += 1) assert.notEqual(await server.get('/'), closed);
  assert.equal(await server.stop(), 0);
});

test('a server that a node has closed listens again, at its address', async (t) => {
  const server = await program(t, `
    const { once } = require("node:events");
    const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, server);
    if (!nodes.isMaster) nodes.ready().then(async () => {
      for (let time = 0; time < 3; time += 1) {
        server.close();
        await once(server, "close");
        console.log("closed", server.listening, server.address());
        server.listen(PORT, () => console.log("calls back", server.listening, server.address().port));
        await once(server, "listening");
      }
      try {
        server.listen(PORT);
      } catch ({ code }) {
        console.log("again", code);
      }
    });
  `);
  await server.says(/(closed false null\ncalls back true \d+\n){3}again ERR_SERVER_ALREADY_LISTEN/);
  const [pid] = await server.pidsOf(1);
  assert.deepEqual(server.children(), [pid], 'the node that has closed it');
  assert.equal(await server.stop(), 0);
});

test('what a listener throws is an uncaught exception, and all connections are served', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end("hello"));
    server.on("connection", () => { throw new Error("by a listener"); });
    process.on("uncaughtException", ({ message }) => console.log("thrown", message));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, server);
    nodes.on("ready", () => nodes.isMaster && console.log("ready"));
  `);
  await server.says(/ready/);
  const answers = await Promise.all(Array.from({ length: 40 }, () => server.get('/')));
  assert.deepEqual(new Set(answers), new Set(['hello']));
  await until('all to be told', () => server.output.split('thrown by a listener').length === 41);
  assert.equal(await server.stop(), 0);
});

test('several servers have an address each', async (t) => {
  const server = await program(t, `
    const http = require("http");
    const first = http.createServer((request, response) => response.end("first"));
    const second = http.createServer((request, response) => response.end("second " + second.address().port));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, [first, { host: "127.0.0.1", port: 0, server: second }]);
    if (nodes.isMaster) nodes.on("ready", () => console.log("ready", second.address().port));
  `);
  const [, port] = await server.says(/ready (\d+)/);
  assert.equal(await server.get('/'), 'first');
  assert.equal(await server.get('/', { port: Number(port) }), `second ${port}`);
  assert.equal(await server.stop(), 0);
});

test('a Unix socket is served', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
    const nodes = require("@multi-node/server").listen({ port: PORT, bind: "unix:" + __dirname + "/socket", nodes: 2 }, server);
    nodes.on("ready", () => console.log("at", __dirname));
  `);
  const [, folder] = await server.says(/at (.*)/);
  assert.match(await server.get('/', { socketPath: path.join(folder, 'socket') }), /hello from \d+/);
  assert.equal(await server.stop(), 0);
});
