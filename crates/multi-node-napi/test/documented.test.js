'use strict';
// Every name of the types is documented, and says what it throws; the examples compile.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { folder } = require('./program.js');

const FILES = ['index.d.ts', 'rate-limit.d.ts', 'session.d.ts', 'socket.io.d.ts'];
const read = (file) => fs.readFileSync(path.join(__dirname, '..', file), 'utf8');

/** What throws nothing, and rejects with nothing. Those of Node.js's own `EventEmitter` do not count. */
const THROWS_NOTHING = new Set([
  'AppWithServer.ready', 'AppWithCallback.callback', 'MetricsRegister.getMetricsAsJSON', // the application's own
  'Options.slotArgs', // the program's own
  'Topic.close', 'Limit.check', 'Limit.peek', 'Limit.giveBack', 'Limit.reset', 'Nodes.status', 'Nodes.owns', 'Nodes.machines', 'Nodes.remote', 'frameStream', 'FrameStream.constructor',
  'RateLimitStore.decrement', 'RateLimitStore.resetKey',
  // They give errors to callbacks.
  ...['get', 'set', 'touch', 'destroy', 'clear', 'length', 'all', 'regenerate', 'load', 'createSession', 'generate'].map((name) => `SessionStore.${name}`),
]);
const OF_EMITTERS = new Set(['on', 'once', 'off', 'addListener', 'removeListener']);

/** The declarations of a file: those at its top, and the members of interfaces and classes, each with the comment right above it. */
function declarations(text) {
  const found = [];
  let owner = '';
  let comment = '';
  let lines = [];
  for (const line of text.split('\n')) {
    lines.push(line);
    if (line.trim().endsWith('*/')) {
      const from = lines.findLastIndex((each) => each.trim().startsWith('/**'));
      comment = lines.slice(from).map((each) => each.trim().replace(/^(\/\*\*|\*\/|\*)\s?/, '')).join('\n');
      lines = [];
      continue;
    }
    const top = /^(?:export )?(interface|class|function|type) (\w+)/.exec(line);
    const member = /^ {2}(?:readonly )?(\[Symbol\.\w+\]|\w+)(\??[:(<])/.exec(line);
    if (top !== null) {
      const [, kind, name] = top;
      owner = name;
      found.push({ name, kind, comment, call: kind === 'function' });
    } else if (member !== null && owner !== '') {
      const [, name, next] = member;
      found.push({ name: `${owner}.${name}`, kind: 'member', comment, call: next !== ':' && next !== '?:' });
    }
    if (line.trim() !== '') comment = '';
    if (line === '}') owner = '';
  }
  return found;
}

const all = FILES.flatMap((file) => declarations(read(file)));
const own = ({ name }) => !OF_EMITTERS.has(name.split('.').at(-1));

test('every name has a comment', () => {
  assert.ok(all.length > 150, `${all.length} names were found`);
  assert.deepEqual(all.filter(({ comment }) => comment === '').map(({ name }) => name), []);
});

test('fields that are objects have a type with a name, since that has a comment for each field', () => {
  const unnamed = FILES.flatMap((file) => [...read(file).matchAll(/^ {2}(?:readonly )?(\w+)\??: \{/gm)].map(([, name]) => name));
  assert.deepEqual(unnamed, []);
});

/** Overloads share what the first one says. */
function calls() {
  const calls = new Map();
  for (const { name, call, comment } of all.filter(own)) {
    if (call) calls.set(name, `${calls.get(name) ?? ''}${comment}`);
  }
  return calls;
}

test('every call says what it throws, unless it throws nothing', () => {
  const silent = [...calls()].filter(([, comment]) => !comment.includes('@throws')).map(([name]) => name);
  assert.deepEqual(silent.sort(), [...THROWS_NOTHING].sort());
});

test('every class, function, and call of what `listen` returns has an example', () => {
  const needing = all.filter(({ name, kind, call }) => kind === 'class' || kind === 'function' || (call && /^(Nodes|Topic|Counter|Gauge)\./.test(name)));
  const examples = new Map();
  for (const { name, comment } of needing.filter(own)) examples.set(name, `${examples.get(name) ?? ''}${comment}`);
  const without = [...examples].filter(([, comment]) => !comment.includes('@example')).map(([name]) => name);
  assert.deepEqual(without, ['Topic.close']);
});

test('every code is one that the README lists', () => {
  const listed = new Set(read('README.md').match(/`[A-Z_]+`/g).map((code) => code.slice(1, -1)));
  const codes = FILES.flatMap((file) => [...read(file).matchAll(/ERR_MULTI_NODE_([A-Z_]+)/g)].map(([, code]) => code));
  assert.ok(codes.length > 40, `${codes.length} codes were found`);
  assert.deepEqual(codes.filter((code) => !listed.has(code)), []);
});

/** What the examples take as given. */
const GIVEN = `
  import { createServer, type IncomingMessage } from 'node:http';
  import { setInterval } from 'node:timers/promises';
  import { createRequire } from 'node:module';
  import { FrameStream, frameStream, listen, type Limit, type Nodes, type Topic } from '@multi-node/server';
  import { RateLimitStore, fastifyStore } from '@multi-node/server/rate-limit';
  import { SessionStore } from '@multi-node/server/session';
  import { createAdapter, drain } from '@multi-node/server/socket.io';
  const server = createServer();
  declare const app: any, rateLimit: any, fastify: any, session: any, io: any, sockets: any, text: string, request: any;
  declare function sendMails(...given: unknown[]): Promise<void>;
  declare const nodes: Nodes, chat: Topic<any>, logins: Limit, peer: FrameStream<any>;
`;
test('every example compiles', (t) => {
  const examples = all.flatMap(({ name, comment }) => {
    const at = comment.indexOf('@example');
    return at === -1 ? [] : [{ name, code: comment.slice(at + '@example'.length) }];
  });
  assert.ok(examples.length > 25, `${examples.length} examples were found`);
  const bodies = examples.map(({ name, code }, at) => `// ${name}\nasync function example${at}() {\n${code}\n}`);
  const cwd = folder(t);
  fs.writeFileSync(path.join(cwd, 'package.json'), '{ "type": "commonjs" }');
  fs.writeFileSync(path.join(cwd, 'examples.ts'), `${GIVEN}\n${bodies.join('\n')}\n`);
  const compiler = path.join(__dirname, '../node_modules/typescript/bin/tsc');
  const args = ['--strict', '--noImplicitAny', 'false', '--noEmit', '--module', 'nodenext', '--esModuleInterop', '--types', 'node', '--preserveSymlinks', 'examples.ts'];
  try {
    execFileSync(process.execPath, [compiler, ...args], { cwd, encoding: 'utf8' });
  } catch (error) {
    assert.fail(error.stdout);
  }
});
