'use strict';
// Requests are counted, and what is done by their counts.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { freePort, program, until } = require('./program.js');

const CERTIFICATE = `require(${JSON.stringify(path.join(__dirname, 'certificate.js'))})`;

/** Prints its requests whenever the sum of all nodes' changes. */
const WATCH = `
  let last = "";
  if (nodes.isMaster) setInterval(async () => {
    const { slots, ready } = await nodes.status();
    const sum = (name) => slots.reduce((sum, slot) => sum + slot[name], 0);
    const now = "requests " + sum("requests") + " in flight " + sum("inFlight") + (ready ? " ready" : "");
    if (now !== last) console.log(last = now);
  }, 10);
`;

test('the status counts requests, and those in flight, of all nodes', async (t) => {
  const metrics = await freePort();
  const server = await program(t, `
    const server = require("http").createServer((request, response) => {
      if (request.url === "/fail") response.statusCode = 503;
      if (request.url !== "/wait") response.end();
    });
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, metrics: "127.0.0.1:${metrics}" }, server);
    ${WATCH}
  `);
  await server.says(/requests 0 in flight 0 ready/);
  for (let request = 0; request < 5; request += 1) await server.get(request === 0 ? '/fail' : '/');
  await server.says(/requests 5 in flight 0/);
  const waiting = http.get({ port: server.port, path: '/wait', agent: false }).on('error', () => undefined);
  await server.says(/requests 6 in flight 1/);
  // A client that leaves is not waited for.
  waiting.destroy();
  await server.says(/requests 6 in flight 0/);
  const page = await server.get('/metrics', { port: metrics });
  assert.match(page, /^multi_node_requests_total 6$/m);
  assert.equal(await server.stop(), 0);
});

test('requests over TLS and HTTP/2 are counted', async (t) => {
  const server = await program(t, `
    const handler = (request, response) => response.end(request.httpVersion);
    const secure = { ...${CERTIFICATE}, allowHTTP1: true };
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, require("http2").createSecureServer(secure, handler));
    ${WATCH}
  `);
  await server.says(/requests 0 in flight 0 ready/);
  const [response] = await once(https.get({ port: server.port, rejectUnauthorized: false, agent: false }), 'response');
  assert.equal((await response.toArray()).join(''), '1.1');
  await server.says(/requests 1 in flight 0/);
  const session = http2.connect(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false });
  const streams = Array.from({ length: 3 }, () => session.request({ ':path': '/' }));
  for (const stream of streams) assert.equal((await stream.toArray()).join(''), '2.0');
  await server.says(/requests 4 in flight 0/);
  session.close();
  assert.equal(await server.stop(), 0);
});

test('a node that has served enough requests is replaced, and none fails', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
    const options = { port: PORT, nodes: 2, maxRequests: 50 };
    require("@multi-node/server").listen(options, server);
  `);
  const first = await server.pidsOf(2);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  await until('others to have taken over from both', async () => {
    const pids = (await Promise.all(Array.from({ length: 40 }, () => server.get('/', { agent })))).map((text) => Number(/\d+$/.exec(text)[0]));
    return pids.every((pid) => !first.has(pid));
  });
  agent.destroy();
  assert.equal(await server.stop(), 0);
});

test('a new node that fails is taken back after its trial, and one that does not goes on', async (t) => {
  const server = await program(t, `
    const status = Number(require("fs").readFileSync("status", "utf8"));
    const server = require("http").createServer((request, response) => response.writeHead(status).end("hello from " + process.pid));
    const canary = { duration: 1500, minRequests: 20 };
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, canary }, server);
    if (nodes.isMaster) {
      nodes.ready().then(() => console.log("ready"));
      const told = ({ canary }) => console.log("reloaded", canary.byAnswers, canary.new.errors);
      process.on("SIGUSR2", () => nodes.reload().then(told, ({ code, message }) => console.log("failed", code, message)));
    }
  `, { files: { status: '200' } });
  await server.says(/ready/);
  let asks = true;
  const load = (async () => {
    while (asks) await server.get('/');
  })();
  /** Reloads nodes that answer with this status, and gives what is said of it. */
  const reload = async (status) => {
    fs.writeFileSync(path.join(server.folder, 'status'), status);
    const told = server.output.length;
    server.kill('SIGUSR2');
    const [text] = await until('a report', () => /^(reloaded|failed) .*\n/m.exec(server.output.slice(told)));
    return text;
  };
  // On a busy machine a trial may end with too few answers to be judged by.
  const before = await until('a node that fails to be taken back', async () => {
    const before = server.children().sort();
    if (/^failed ERR_MULTI_NODE_ROLLED_BACK .*server errors/.test(await reload('500'))) return before;
    return void (await reload('200'));
  });
  await until('the old nodes alone', () => String(server.children().sort()) === String(before));
  await until('a node that does not to be judged', async () => (await reload('201')) === 'reloaded true 0\n');
  asks = false;
  await load;
  assert.equal(await server.stop(), 0);
});

test('one slot is restarted', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end());
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
    if (nodes.isMaster) nodes.ready().then(async () => {
      const before = (await nodes.status()).slots.map(({ id }) => id);
      const { slot, old } = await nodes.restart(1);
      const { slots } = await nodes.status();
      console.log("restarted", slot, before[0] === slots[0].id, before[1] === old, old === slots[1].id);
      for (const slot of [2, -1]) await nodes.restart(slot).catch(({ code }) => console.log("slot", slot, code));
    });
  `);
  await server.says(/restarted 1 true true false/);
  for (const slot of [2, -1]) await server.says(new RegExp(`slot ${slot} ERR_MULTI_NODE_NO_SUCH_SLOT`));
  assert.equal(await server.stop(), 0);
});
