'use strict';
// The stores of rate limiters, with the limiters themselves.

const assert = require('node:assert/strict');
const http = require('node:http');
const { test } = require('node:test');
const { program } = require('./program.js');

/** Status and headers of one request. */
function ask({ port }, path = '/', headers = {}) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part)).on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on('error', reject);
  });
}

async function statuses(server, count, path) {
  const answers = await Promise.all(Array.from({ length: count }, () => ask(server, path)));
  const of = (status) => answers.filter((answer) => answer.status === status);
  return { allowed: of(200), denied: of(429), all: answers };
}

const EXPRESS = (options) => `
  const app = require("express")();
  const { rateLimit } = require("express-rate-limit");
  const { RateLimitStore } = require("@multi-node/server/rate-limit");
  const limiter = rateLimit({ windowMs: 3600000, limit: 100, standardHeaders: "draft-7", legacyHeaders: true, store: new RateLimitStore() });
  app.get("/failing", rateLimit({ windowMs: 3600000, limit: 3, skipFailedRequests: true, store: new RateLimitStore({ prefix: "failing" }) }),
    (request, response) => response.status(500).end());
  app.get("/none", rateLimit({ windowMs: 3600000, limit: 0, validate: false, store: new RateLimitStore({ prefix: "none" }) }), (request, response) => response.end());
  app.get("/varies", rateLimit({ windowMs: 3600000, limit: () => 3, store: new RateLimitStore({ prefix: "varies" }) }), (request, response) => response.end());
  app.get("/hits", async (request, response) => response.json(await limiter.getKey("127.0.0.1")));
  app.get("/reset", async (request, response) => { await limiter.resetKey("127.0.0.1"); response.end(); });
  app.use((error, request, response, next) => response.status(500).end(error.message));
  app.get("/", limiter, (request, response) => response.end(String(process.pid)));
  const nodes = require("@multi-node/server").listen({ port: PORT, host: "127.0.0.1", ${options} }, app);
  if (nodes.isMaster) nodes.ready().then(() => console.log("ready"));
`;

for (const [how, options, count] of [['four nodes', 'nodes: 4', 4], ['a process that serves alone', 'nodes: 0', 1]]) {
  test(`express-rate-limit lets exactly its limit through with ${how}`, async (t) => {
    const server = await program(t, EXPRESS(options));
    await server.says(/ready/);
    const { allowed, denied } = await statuses(server, 300);
    assert.deepEqual([allowed.length, denied.length], [100, 200]);
    assert.equal(new Set(allowed.map(({ text }) => text)).size, count, 'all nodes have answered');
    const left = allowed.map(({ headers }) => Number(headers['x-ratelimit-remaining'])).sort((a, b) => a - b);
    assert.ok(left.every((number, at) => number === at || number === at - 1), `one each, but for what is counted in the same instant: ${left}`);
    const { headers } = denied[0];
    const retry = Number(headers['retry-after']);
    assert.ok(retry > 0 && retry <= 36, `one request each 36 s: ${retry}`);
    assert.match(headers.ratelimit, /limit=100, remaining=0, reset=\d+/);
    assert.equal(JSON.parse((await ask(server, '/hits')).text).totalHits, 101);
    await ask(server, '/reset');
    assert.equal(JSON.parse((await ask(server, '/hits')).text).totalHits, 0);
    assert.equal((await statuses(server, 120)).allowed.length, 100);

    // What fails is taken back, and what was denied changes nothing.
    for (let request = 0; request < 10; request += 1) assert.equal((await ask(server, '/failing')).status, 500);
    assert.equal((await ask(server, '/none')).status, 429);
    assert.match((await ask(server, '/varies')).text, /needs a number/);
    assert.equal(await server.stop(), 0);
  });

  test(`@fastify/rate-limit lets exactly its limit through with ${how}`, async (t) => {
    const server = await program(t, `
      const app = require("fastify")();
      const { fastifyStore } = require("@multi-node/server/rate-limit");
      app.register(async (app) => {
        await app.register(require("@fastify/rate-limit"), { max: 100, timeWindow: 3600000, store: fastifyStore() });
        app.get("/", async () => String(process.pid));
        app.get("/few", { config: { rateLimit: { max: 3, timeWindow: 3600000 } } }, async () => "few");
      });
      const nodes = require("@multi-node/server").listen({ port: PORT, host: "127.0.0.1", ${options} }, app);
      if (nodes.isMaster) nodes.ready().then(() => console.log("ready"));
    `);
    await server.says(/ready/);
    const { allowed, denied } = await statuses(server, 300);
    assert.deepEqual([allowed.length, denied.length], [100, 200]);
    const left = allowed.map(({ headers }) => Number(headers['x-ratelimit-remaining'])).sort((a, b) => a - b);
    assert.ok(left.every((number, at) => number === at || number === at - 1), `one each, but for what is counted in the same instant: ${left}`);
    const retry = Number(denied[0].headers['retry-after']);
    assert.ok(retry > 0 && retry <= 36, `one request each 36 s: ${retry}`);
    const few = await statuses(server, 20, '/few');
    assert.deepEqual([few.allowed.length, few.denied.length], [3, 17], 'a route has a count of its own');
    assert.equal(await server.stop(), 0);
  });
}

test('what the stores cannot do is refused', () => {
  const { RateLimitStore, fastifyStore } = require('../js/rate-limit.js');
  const { EventEmitter } = require('node:events');
  const refused = (act, pattern) => assert.throws(act, (error) => error.code === 'ERR_MULTI_NODE_OPTION' && pattern.test(error.message));
  refused(() => new RateLimitStore({ prefx: 'a' }), /no option `prefx`/);
  refused(() => new RateLimitStore(new EventEmitter(), { prefix: '' }), /`prefix`/);
  const Store = fastifyStore();
  refused(() => new Store({ continueExceeding: true }), /continueExceeding/);
  refused(() => new Store({ ban: 2 }), /`ban`/);
  const early = new RateLimitStore();
  early.init({ limit: 1, windowMs: 1000 });
  return assert.rejects(early.increment('a'), { code: 'ERR_MULTI_NODE_NOT_LISTENING' });
});
