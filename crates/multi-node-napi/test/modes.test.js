'use strict';
// Ways to start, and what is refused.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const fs = require('node:fs');
const path = require('node:path');
const { folder, freePort, program, until } = require('./program.js');

const HELLO = `
  var server = require("http").createServer(function(request, response){ response.end("hello from " + process.pid); });
  var nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
  nodes.on("ready", function(){ if (nodes.isMaster) console.log("ready"); });
`;

test('nodes get the arguments that the options name, and all addresses are those of the options', async (t) => {
  const other = await freePort();
  const server = await program(t, `
    const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
    const options = {
      addresses: ["127.0.0.1:PORT", "127.0.0.1:${other}"],
      nodes: 2,
      slotArgs: (slot) => ["--title=slot-" + slot],
      args: [__filename, "of a node"],
      env: { COLOUR: "green", NODE_APP_INSTANCE: "{slot}" },
    };
    const nodes = require("@multi-node/server").listen(options, server);
    console.log(nodes.isMaster, process.title, process.argv[2], process.env.COLOUR, process.env.NODE_APP_INSTANCE);
  `);
  assert.equal((await server.pidsOf(2)).size, 2);
  assert.match(await server.get('/', { port: other }), /hello/);
  for (const slot of [0, 1]) await server.says(new RegExp(`false slot-${slot} of a node green ${slot}`));
  assert.equal(await server.stop(), 0);
});

test('a blocked event loop gets no connections, and is replaced', async (t) => {
  const server = await program(t, `
    const server = require("http").createServer((request, response) => {
      if (request.url === "/block") for (require("fs").writeSync(1, "blocks\\n"); ; );
      response.end("hello from " + process.pid);
    });
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, hangTimeout: 1500 }, server);
    nodes.on("ready", () => nodes.isMaster && console.log("ready"));
    nodes.on("exit", ({ slot, signal }) => console.log("slot", slot, "ended by", signal));
    nodes.on("restart", ({ slot }) => console.log("slot", slot, "again"));
  `);
  await server.says(/ready/);
  const blocked = server.get('/block').catch((error) => error.code);
  await server.says(/blocks/);
  const answers = await Promise.all(Array.from({ length: 20 }, () => server.get('/')));
  assert.equal(new Set(answers).size, 1, 'the other one answers');
  const [, slot] = await server.says(/slot (\d) ended by SIGABRT/);
  await server.says(new RegExp(`slot ${slot} again`));
  assert.equal(await blocked, 'ECONNRESET');
  assert.equal(await server.stop(), 0);
});

test('an address in use is an error event, with the code of Node.js', async (t) => {
  const first = await program(t, HELLO);
  await first.says(/ready/);
  for (const [target, listener] of [['server', 'server.on("error", tell);'], ['nodes', ''], ['nobody', null]]) {
    const heard = listener === null ? '' : `${listener} nodes.on("error", tell);`;
    const source = HELLO.replaceAll('PORT', String(first.port)) + `function tell(error){ console.log("heard", error.code, error.syscall, error.address, error.port === ${first.port}); } ${heard}`;
    const second = await program(t, source);
    const ended = await second.ended;
    if (listener === null) assert.equal(ended, 1, target);
    await second.says(listener === null ? /EADDRINUSE/ : /heard EADDRINUSE listen 0\.0\.0\.0 true/);
  }
  assert.equal(await first.stop(), 0);
});

test('a program whose nodes all fail ends with their cause', async (t) => {
  const server = await program(t, `${HELLO} if (!nodes.isMaster) process.exit(9);`.replace('nodes: 2', 'nodes: 1, backoff: [1, 2]'));
  assert.equal(await server.ended, 1);
  assert.match(server.output, /ERR_MULTI_NODE_NO_NODES/);
});

test('a port that is taken before `listen` ends the program with one error that says why', async (t) => {
  const taken = await freePort();
  const server = await program(t, `
    require("net").createServer().listen(${taken}, "127.0.0.1", () => {
      require("@multi-node/server").listen({ port: PORT, nodes: 2 }, require("http").createServer());
    });
  `);
  assert.equal(await server.ended, 1);
  assert.match(server.output, /ERR_MULTI_NODE_NO_NODES/);
  assert.match(server.output, /it did not reach `listen`; code before `listen` runs in every process/);
  const told = server.output.match(/errno: -98/g).length;
  assert.ok(told >= 2 && told <= 3, `${told} nodes have told of it`);
});

for (const [runner, main, env] of [
  ['mocha', 'node_modules/mocha/bin/mocha.js', {}],
  ['jest-worker', 'node_modules/jest-worker/build/processChild.js', {}],
  ['vitest', 'node_modules/.pnpm/vitest@4/node_modules/vitest/vitest.mjs', {}],
  ['tinypool', 'node_modules/tinypool/process.js', { VITEST: 'true' }],
]) {
  test(`\`listen\` is refused in a process that ${runner} has started`, async (t) => {
    const cwd = folder(t);
    fs.mkdirSync(path.join(cwd, path.dirname(main)), { recursive: true });
    const source = main.endsWith('.mjs') ? `import { createRequire } from "node:module"; const require = createRequire("${cwd}/");${HELLO}` : HELLO;
    const server = await program(t, source, { cwd, name: main, env });
    assert.equal(await server.ended, 1);
    assert.match(server.output, new RegExp(`in a test \\(${runner}\\)`));
  });
}

test('`listen` is refused in a file of tests that node runs, and not in a server that only loads its test module', async (t) => {
  const source = `require("node:test"); ${HELLO}`;
  const refused = await program(t, source, { name: 'server.test.js' });
  assert.equal(await refused.ended, 1);
  assert.match(refused.output, /in a test \(node:test\), which every node would start again; use \{ nodes: 0 \}/);
  const serves = await program(t, source);
  await serves.says(/ready/);
  assert.equal(await serves.stop(), 0);
});

test('a node that waits for `ready` while the program shuts down ends without a trace', async (t) => {
  const server = await program(t, `
    const slow = process.title === "slot-1";
    const app = { server: require("http").createServer(), ready: () => slow && new Promise(() => undefined) };
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2, slotArgs: (slot) => ["--title=slot-" + slot] }, app);
    if (!nodes.isMaster) nodes.ready().then(() => console.log("all are ready"));
    nodes.on("node", () => console.log("joined", process.title));
  `);
  await server.says(/joined slot-0/);
  assert.equal(await server.stop(), 0);
  await server.closed;
  assert.doesNotMatch(server.output, /all are ready|\n {4}at |NO_NODES|SHUTTING_DOWN/);
});

test('what is wrong is thrown at once', async () => {
  const http = require('node:http');
  const { listen } = require('..');
  const refused = (options, server, code, pattern) => assert.throws(() => listen(options, server), (error) => error.code === code && pattern.test(error.message));
  refused({ prot: 1 }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /no option `prot`; did you mean `port`\?/);
  refused({ max_nodes: 1 }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /did you mean `maxNodes`\?/);
  refused({ workers: 1 }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /no option `workers`; there are port, host/);
  refused({ port: '80' }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`port`: "80" is not allowed; expected/);
  refused({ canary: { duration: 1000, margn: 1 } }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`canary`: there is no `margn`; expected \{ duration/);
  refused({ canary: { duration: 1000, minRequests: 1.5 } }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`canary.minRequests`: 1.5 is not allowed; expected a whole/);
  refused({ canary: {} }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`canary`.*`duration` is missing/);
  refused({ crashLoop: { deaths: 1, whithin: 1 } }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`crashLoop`: there is no `whithin`/);
  refused({ crashLoop: { deaths: 0.5, within: 1 } }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`crashLoop.deaths`: 0.5 is not allowed/);
  refused({ maxRequests: 1.5 }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`maxRequests`: 1.5 is not allowed; expected a whole/);
  refused({ maxMemory: 1e9 + 0.5 }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`maxMemory`/);
  refused({ host: '' }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`host`: "" is not allowed; expected an address/);
  refused({ env: ['A=1'] }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`env`.*an object of strings/);
  refused({}, [http.createServer(), { port: 1, hots: 'x', server: http.createServer() }], 'ERR_MULTI_NODE_OPTION', /no option `hots` of a server/);
  refused({}, [http.createServer(), { port: 1, host: '', server: http.createServer() }], 'ERR_MULTI_NODE_OPTION', /`host` of a server: "" is not/);
  refused({ canary: null }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`canary`: null is not allowed/);
  refused({ aggregateGauge: { jobs: 'most' } }, http.createServer(), 'ERR_MULTI_NODE_OPTION', /`aggregateGauge`.*"sum", "max"/);
  refused(null, http.createServer(), 'ERR_MULTI_NODE_OPTION', /object/);
  refused({}, 'server', 'ERR_MULTI_NODE_SERVER', /expected a server/);
  refused({}, [http.createServer(), http.createServer()], 'ERR_MULTI_NODE_SERVER', /address of its own/);
  refused({}, http.createServer(), 'ERR_MULTI_NODE_IN_TEST', /nodes: 0/);
});

test('what a node writes at its end is written, and nothing else holds it', async (t) => {
  const server = await program(t, `
    const fs = require("fs");
    const server = require("http").createServer((request, response) => response.end("hello"));
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 1 }, server);
    if (nodes.isMaster) nodes.on("ready", () => console.log("ready"));
    else nodes.on("close", () => {
      // More than a pipe holds.
      console.log("x".repeat(1000000) + "end of the log");
      const file = fs.createWriteStream("journal");
      for (let line = 0; line < 100; line += 1) file.write("y".repeat(100000));
      file.end("end of the journal");
      setInterval(() => undefined, 1000);
    });
  `);
  await server.says(/ready/);
  const begin = Date.now();
  server.holdOutput(500);
  assert.equal(await server.stop(), 0);
  assert.ok(Date.now() - begin < 5000, 'the interval does not hold it');
  await server.says(/xxxend of the log/);
  assert.ok(server.output.length > 1_000_000);
  const journal = fs.readFileSync(path.join(server.folder, 'journal'), 'utf8');
  assert.ok(journal.length === 10_000_018 && journal.endsWith('end of the journal'), `${journal.length} bytes`);
});
