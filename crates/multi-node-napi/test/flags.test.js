'use strict';
// However a program is started, its nodes are started the same way.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const WebSocket = require('ws');
const { folder, freePorts, program, until } = require('./program.js');

/** Says in each process what it was started with. */
const TELL = `
  const server = require("http").createServer((request, response) => response.end("hello from " + process.pid));
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
  console.log(nodes.slot ?? "master", "has", globalThis.loaded, process.env.COLOUR, process.argv[2], process.execArgv.join(" "));
  nodes.ready().then(() => nodes.isMaster && console.log("ready"));
`;
const TELL_ESM = TELL.replace(/require\("@multi-node\/server"\)/, '(await import("@multi-node/server"))').replace(/require\("http"\)/, '(await import("http"))');
const FIRST = 'globalThis.loaded = "it";';
const TSX = path.join(__dirname, '../node_modules/tsx/dist/cli.mjs');

for (const [what, expected, options] of [
  ['--require', 'has it', { flags: ['--require', './first.js'], files: { 'first.js': FIRST } }],
  ['-r', 'has it', { flags: ['-r', './first.js'], files: { 'first.js': FIRST } }],
  ['--import', 'has it', { flags: ['--import', './first.mjs'], files: { 'first.mjs': FIRST } }],
  ['NODE_OPTIONS', 'has it', { env: { NODE_OPTIONS: '--import ./first.mjs' }, files: { 'first.mjs': FIRST } }],
  ['--env-file', 'has undefined green .*--env-file', { flags: ['--env-file', 'my.env'], files: { 'my.env': 'COLOUR=green' } }],
  ['an ES module', 'has undefined undefined an argument', { name: 'server.mjs', source: TELL_ESM, args: ['an argument'] }],
  ['TypeScript by the runner tsx', 'has undefined .*--import', { name: 'server.ts', flags: [TSX], source: TELL.replace('server =', 'server: import("http").Server =') }],
  ['a path with spaces', 'has undefined undefined one two', { name: 'the server.js', folder: 'my servers', args: ['one two'] }],
]) {
  test(`nodes of a program that is started with ${what}`, async (t) => {
    const { source = TELL, folder: name = '.', ...rest } = options;
    const cwd = path.join(folder(t), name);
    fs.mkdirSync(cwd, { recursive: true });
    const server = await program(t, source, { ...rest, cwd });
    for (const who of ['master', 0, 1]) await server.says(new RegExp(`^${who} ${expected}`, 'm'));
    await server.says(/^ready/m);
    assert.equal((await server.pidsOf(2)).size, 2);
    assert.equal(await server.stop(), 0);
  });
}

test('a program that was forked keeps its channel to itself', async (t) => {
  const parent = `
    const child = require("child_process").fork("./server.js");
    child.on("message", (message) => console.log("parent hears", message));
    child.on("exit", (code) => process.exit(code));
    process.on("SIGTERM", () => child.kill());
  `;
  const source = `${TELL} if (nodes.isMaster) nodes.ready().then(() => process.send("ready")); else console.log("channel", process.send);`;
  const server = await program(t, parent, { name: 'parent.js', files: { 'server.js': source } });
  await server.says(/parent hears ready/);
  assert.equal(server.output.match(/channel undefined/g).length, 2);
  assert.equal(await server.stop(), 0);
});

test('a program under `node --watch` is started anew when a file has changed', async (t) => {
  const server = await program(t, TELL, { flags: ['--watch'] });
  await server.says(/^ready/m);
  server.write('server.js', TELL.replace('"ready"', '"ready again"'));
  await server.says(/^ready again/m);
  assert.equal((await server.pidsOf(2)).size, 2);
  assert.equal(await server.stop(), 0);
});

test('a program under npm runs, and npm ends with it', async (t) => {
  const source = `${TELL} if (nodes.isMaster) console.log("the master is", process.pid);`;
  const server = await program(t, source, { under: ['npm', 'exec', '--offline', '--'], args: ['an argument'] });
  for (const who of ['master', 0, 1]) await server.says(new RegExp(`^${who} has undefined undefined an argument`, 'm'));
  await server.says(/^ready/m);
  // npm passes no signal on.
  process.kill(Number((await server.says(/^the master is (\d+)/m))[1]), 'SIGTERM');
  assert.equal(await server.ended, 0);
});

const INSPECTED = `${TELL} console.log((nodes.slot ?? "master") + " inspects " + process.debugPort);`;

for (const [how, flag] of [
  ['a flag', (port) => ({ flags: [`--inspect=127.0.0.1:${port}`] })],
  ['NODE_OPTIONS', (port) => ({ env: { NODE_OPTIONS: `--inspect=127.0.0.1:${port}` } })],
]) {
  test(`each node has an inspector of its own, with ${how}`, async (t) => {
    const port = await freePorts(3);
    const server = await program(t, INSPECTED, flag(port));
    await server.says(/^ready/m);
    for (const [who, offset] of [['master', 0], [0, 1], [1, 2]]) {
      await server.says(new RegExp(`^${who} inspects ${port + offset}`, 'm'));
      assert.match(await server.get('/json/list', { port: port + offset }), /webSocketDebuggerUrl/);
    }
    assert.equal(await server.stop(), 0);
  });
}

for (const flag of ['--inspect=0', '--inspect=127.0.0.1:0']) {
  test(`where the system chooses the port of the inspector, it does so for each process: ${flag}`, (t) => inspectedAnywhere(t, flag));
}

async function inspectedAnywhere(t, flag) {
  const server = await program(t, INSPECTED, { flags: [flag] });
  await server.says(/^ready/m);
  for (const slot of [0, 1]) await server.says(new RegExp(`^${slot} has .* ${flag} --inspect-port=0$`, 'm'));
  const ports = ['master', 0, 1].map((who) => new RegExp(`^${who} inspects (\\d+)`, 'm').exec(server.output)[1]);
  assert.equal(new Set(ports).size, 3);
  for (const port of ports) assert.match(await server.get('/json/list', { port }), /webSocketDebuggerUrl/);
  assert.equal(await server.stop(), 0);
}

test('with --inspect-brk each process waits for its debugger', async (t) => {
  const port = await freePorts(3);
  const debuggers = [];
  const server = await program(t, INSPECTED, { flags: [`--inspect-brk=127.0.0.1:${port}`] });
  for (const [who, offset] of [['master', 0], [0, 1], [1, 2]]) {
    await until(`the inspector of ${who}`, () => server.output.includes(`:${port + offset}/`));
    assert.doesNotMatch(server.output, new RegExp(`^${who} inspects`, 'm'));
    debuggers.push(await letRun(port + offset));
    await server.says(new RegExp(`^${who} inspects ${port + offset}`, 'm'));
  }
  await server.says(/^ready/m);
  // A process ends when its debugger has left.
  for (const each of debuggers) each.terminate();
  assert.equal(await server.stop(), 0);
});

/** Does what a debugger does that has no break points. */
async function letRun(port) {
  const response = await once(http.get({ host: '127.0.0.1', port, path: '/json/list' }), 'response');
  const [{ webSocketDebuggerUrl }] = JSON.parse((await response[0].toArray()).join(''));
  const session = new WebSocket(webSocketDebuggerUrl);
  await once(session, 'open');
  session.send(JSON.stringify({ id: 1, method: 'Runtime.runIfWaitingForDebugger' }));
  return session;
}

test('whoever stands at a break point is not taken for hung', async (t) => {
  const source = `
    const { check, forLibrary } = require(${JSON.stringify(path.join(__dirname, '../js/options.js'))});
    for (const given of [{}, { hangTimeout: 2000, startTimeout: 3000 }]) {
      const { table } = forLibrary(check(given));
      const { hangTimeout, startTimeout } = Object.fromEntries(table.map(({ name, value }) => [name, value]));
      console.log("timeouts", hangTimeout, startTimeout);
    }
  `;
  const plain = await program(t, source);
  const inspected = await program(t, source, { flags: ['--inspect=0'] });
  assert.deepEqual([await plain.ended, await inspected.ended], [0, 0]);
  assert.equal(plain.output, 'timeouts undefined undefined\ntimeouts 2000 3000\n');
  assert.match(inspected.output, /timeouts 0 31622400000\ntimeouts 2000 3000\n/);
});
