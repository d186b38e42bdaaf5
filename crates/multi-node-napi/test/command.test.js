'use strict';
// The command `multi-node` of the package, and what it says of modules that it cannot serve.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { test } = require('node:test');
const { COMMAND: NATIVE, freePort, program } = require('./program.js');
const { isCommand } = require('../js/command.js');
const { fromReadme } = require('./readme.js');

/** The command as npm puts it into a project. */
const COMMAND = `require(${JSON.stringify(path.join(__dirname, '../bin/multi-node.js'))});`;

const run = (t, app, args, more = {}) => program(t, COMMAND, { name: 'multi-node.js', args, files: { 'app.js': app, ...more.files }, ...more });

test('a word is a command, and a path a module', () => {
  const { stdout } = spawnSync(NATIVE, ['--help'], { encoding: 'utf8' });
  const names = [...stdout.split('\nOptions:')[0].matchAll(/^  ([a-z]+) /gm)].map(([, name]) => name);
  assert.ok(names.length > 10, stdout);
  assert.deepEqual([...names, 'reloda', '--version'].filter((name) => !isCommand(name)), []);
  assert.deepEqual(['app.js', './app', 'dist/', '-n', '--help', undefined].filter((name) => isCommand(name)), []);
});

test('a module that exports a handler is served', async (t) => {
  const app = 'module.exports = (request, response) => response.end(process.argv[2] + " from " + process.pid);';
  const server = await run(t, app, ['app.js', '-n', '2', '--port', 'PORT', 'an argument']);
  await server.says(/serving app.js/);
  assert.equal((await server.pidsOf(2)).size, 2);
  assert.match(await server.get('/'), /^an argument from/);
  assert.equal(await server.stop(), 0);
});

test('a default export of an ES module is served, on the port that the environment names', async (t) => {
  const app = "import http from 'node:http'; export default http.createServer((request, response) => response.end('hello from ' + process.pid));";
  const server = await run(t, '', ['app.mjs', '-n', '2'], { files: { 'app.mjs': app }, env: (port) => ({ PORT: String(port) }) });
  assert.equal((await server.pidsOf(2)).size, 2);
  assert.equal(await server.stop(), 0);
});

test('a module that calls `listen` itself is served by the options of the command line', async (t) => {
  const app = `${fromReadme('createServer(function').replace('PORT', '1')}
    console.log(nodes.id, "has", process.argv.slice(1).join());
    nodes.on("ready", () => nodes.isMaster && console.log("ready"));
  `;
  const server = await run(t, app, ['app.js', '-n', '2', '--port', 'PORT', 'an argument']);
  await server.says(/^ready/m);
  assert.equal(server.children().length, 2);
  assert.equal(server.output.match(/has .*\/app\.js,an argument$/gm).length, 3, server.output);
  assert.equal((await server.pidsOf(2)).size, 2);
  assert.equal(await server.stop(), 0);
});

const HANDLER = '(request, response) => response.end("hello from " + process.pid)';

test('the default export of compiled TypeScript is served', async (t) => {
  const app = `Object.defineProperty(exports, "__esModule", { value: true }); exports.default = ${HANDLER};`;
  const server = await run(t, app, ['app.js', '-n', '2', '-p', 'PORT']);
  assert.equal((await server.pidsOf(2)).size, 2);
  assert.equal(await server.stop(), 0);
});

for (const [what, app, args] of [
  ['at once', `const server = require("http").createServer(${HANDLER}); server.listen(PORT, () => console.log("has", server.address().port));`, []],
  ['by options', `const server = require("http").createServer(${HANDLER}).listen({ port: PORT, host: "127.0.0.1" }, () => console.log("has", server.address().port));`, []],
  ['by Express', `const server = require("express")().get("/", ${HANDLER}).listen(PORT, () => console.log("has", server.address().port));`, []],
  ['where the command line says', `module.exports = require("http").createServer(${HANDLER}); module.exports.listen(1, () => console.log("has", module.exports.address().port));`, ['-p', 'PORT']],
  ['later', `setTimeout(() => { const server = require("http").createServer(${HANDLER}).listen(PORT, () => console.log("has", server.address().port)); }, 50);`, []],
]) {
  test(`a module that listens by itself is served: ${what}`, async (t) => {
    const server = await run(t, app, ['app.js', '-n', '2', ...args]);
    assert.equal((await server.pidsOf(2)).size, 2);
    await server.says(new RegExp(`has ${server.port}`));
    assert.equal(await server.stop(), 0);
  });
}

test('two servers that listen by themselves are served, also where the module waits for that', async (t) => {
  const other = await freePort();
  const app = `
    import http from 'node:http';
    import { once } from 'node:events';
    const [first, second] = [PORT, ${other}].map((port) => http.createServer(${HANDLER}).listen(port));
    await Promise.all([once(first, 'listening'), once(second, 'listening')]);
    console.log('all listen');
  `;
  const server = await run(t, '', ['app.mjs', '-n', '2'], { files: { 'app.mjs': app } });
  await server.says(/all listen/);
  assert.equal((await server.pidsOf(2)).size, 2);
  assert.match(await server.get('/', { port: other }), /hello from/);
  assert.equal(await server.stop(), 0);
});

test('a module that calls `listen` of this package keeps what else it serves', async (t) => {
  const app = `
    const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 0 }, ${HANDLER});
    nodes.on("ready", () => console.log("ready"));
    require("http").createServer(${HANDLER}).listen(0, () => console.log("also"));
  `;
  const server = await run(t, app, ['app.js', '-n', '0']);
  await server.says(/^also/m);
  await server.says(/^ready/m);
  assert.equal(await server.get('/'), `hello from ${server.pid}`);
  assert.equal(await server.stop(), 0);
});

for (const [what, app, args, says] of [
  ['no module is named', '', [], /no module was given/],
  ['there is no such module', '', ['other.js'], /^multi-node: there is no module .*other\.js\n$/],
  ['a number is none', '', ['app.js', '-n', 'many'], /--nodes: "many" is not allowed; expected a whole number/],
  ['there is no such option', '', ['app.js', '--prot', '1'], /--prot/],
  ['the module exports nothing', '', ['app.js', '-p', 'PORT'], /app\.js has not called `listen`, and what it exports cannot be served: expected a server/],
]) {
  test(`the command says so where ${what}`, async (t) => {
    const server = await run(t, app, args);
    assert.equal(await server.ended, 2);
    assert.match(server.output, says);
    assert.doesNotMatch(server.output, /\n {4}at /, 'and shows none of its own code');
  });
}

test('the error of a module is shown as it is', async (t) => {
  const server = await run(t, 'throw new Error("my mistake");', ['app.js', '-p', 'PORT']);
  assert.equal(await server.ended, 1);
  assert.match(server.output, /Error: my mistake\n +at .*app\.js:1/);
});

test('a master that ends at once is not followed by the traces of its nodes', async (t) => {
  const server = await program(t, `${fromReadme('createServer(function')} if (nodes.isMaster) process.exit(3);`);
  assert.equal(await server.ended, 3);
  await server.closed;
  assert.doesNotMatch(server.output, /\n {4}at /);
});
