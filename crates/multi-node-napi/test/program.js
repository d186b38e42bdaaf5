'use strict';
// Programs under test: started as a user starts them, in a folder of their own, and stopped with the test.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

/** No test waits longer for anything; it is the limit of waiting, not of passing. */
const LIMIT = 60_000;

/** A line of the master's log, which is written at once. */
const LOGGED = /^multi-node \d\d:\d\d:\d\dZ .*\n/gm;

/** The command, which `make test-node` builds before its tests. */
const COMMAND = path.resolve(process.env.CARGO_TARGET_DIR ?? path.join(__dirname, '../../../target'), 'debug/multi-node');

/** A folder in which the package is installed. */
function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'multi-node-'));
  t.after(() => fs.rmSync(made, { recursive: true, force: true }));
  fs.mkdirSync(path.join(made, 'node_modules'));
  fs.mkdirSync(path.join(made, 'node_modules/@multi-node'));
  fs.symlinkSync(path.join(__dirname, '..'), path.join(made, 'node_modules/@multi-node/server'));
  const others = path.join(__dirname, '../node_modules');
  for (const name of fs.existsSync(others) ? fs.readdirSync(others) : []) {
    if (!name.startsWith('.')) fs.symlinkSync(path.join(others, name), path.join(made, 'node_modules', name));
  }
  return made;
}

// Below the ports that the system gives to clients, whose connections would take them at any time. Each process of tests goes through a
// part of its own.
const PORTS = { from: 10_000 + (process.pid % 350) * 64, count: 64 };
let given = 0;

/** The first of `count` ports in a row that nobody has. */
function freePorts(count) {
  return until(`${count} free ports in a row`, async () => {
    if ((given % PORTS.count) + count > PORTS.count) given += PORTS.count - (given % PORTS.count);
    const first = PORTS.from + (given % PORTS.count);
    given += count;
    const free = await Promise.all(Array.from({ length: count }, (_, offset) => isFree(first + offset)));
    return free.every(Boolean) && first;
  });
}

const freePort = () => freePorts(1);

async function isFree(port) {
  const probe = net.createServer();
  const bound = await new Promise((resolve) => probe.once('error', () => resolve(false)).listen(port, () => resolve(true)));
  if (bound) await once(probe.close(), 'close');
  return bound;
}

/** Waits until the condition gives something true. */
async function until(what, condition, limit = LIMIT) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited for ${what} in vain`);
    await sleep(10);
  }
}

class Program {
  #child;
  #out = '';
  #log = '';
  #ended;

  constructor(child, port, folder) {
    this.#child = child;
    this.port = port;
    this.folder = folder;
    child.stdout.setEncoding('utf8').on('data', (text) => (this.#out += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (this.#out += text.replace(LOGGED, (line) => this.#keep(line))));
    /** When nobody, nodes included, can print any more. */
    this.closed = once(child, 'close');
    this.#ended = once(child, 'exit').then(([code, signal]) => signal ?? code);
  }

  get pid() {
    return this.#child.pid;
  }

  /** All that it has printed, without the master's log. */
  get output() {
    return this.#out;
  }

  /** What the master has logged. */
  get log() {
    return this.#log;
  }

  #keep(line) {
    this.#log += line;
    return '';
  }

  get ended() {
    return this.#ended;
  }

  get stdin() {
    return this.#child.stdin;
  }

  /** Writes a file as `program` does. */
  write(file, text) {
    fs.writeFileSync(path.join(this.folder, file), text.replaceAll('PORT', String(this.port)));
  }

  kill(signal) {
    this.#child.kill(signal);
  }

  /** Does not read its output for this number of milliseconds, so that its pipe fills up. */
  holdOutput(time) {
    this.#child.stdout.pause();
    setTimeout(() => this.#child.stdout.resume(), time);
  }

  /** Waits for a line that matches. */
  async says(pattern, limit) {
    const found = () => this.#child.exitCode !== null && !pattern.test(this.#out) ? Promise.reject(new Error(`it ended:\n${this.#out}`)) : pattern.exec(this.#out);
    return until(`${pattern}`, found, limit).catch((error) => Promise.reject(new Error(`${error.message}; it says:\n${this.#out}`)));
  }

  /** The pids that answer `hello from <pid>`, once there are this many. */
  async pidsOf(count) {
    const pids = new Set();
    await until(`${count} pids that answer`, async () => {
      const text = await this.get('/').catch(() => '');
      const pid = Number(/\d+$/.exec(text)?.[0] ?? 0);
      if (pid > 0) pids.add(pid);
      return pids.size >= count;
    });
    return pids;
  }

  /** One request on a connection of its own. */
  get(at, options = {}) {
    return new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port: this.port, path: at, agent: false, timeout: LIMIT, ...options }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => (text += part));
        response.on('end', () => resolve(text)).on('error', reject);
      });
      request.on('error', reject).on('timeout', () => request.destroy(new Error('no answer')));
    });
  }

  /** The processes that it has started. */
  children() {
    const file = `/proc/${this.pid}/task/${this.pid}/children`;
    const all = fs.readdirSync(`/proc/${this.pid}/task`).map((thread) => file.replace(/task\/\d+/, `task/${thread}`));
    return all.flatMap((each) => fs.readFileSync(each, 'utf8').split(' ').filter(Boolean).map(Number));
  }

  /** Ends it as systemd would, and says how it ended. */
  async stop() {
    this.kill('SIGTERM');
    return Promise.race([
      this.#ended,
      sleep(LIMIT, null, { ref: false }).then(() => Promise.reject(new Error(`it does not end:\n${this.#out}`))),
    ]);
  }
}

/** Starts a program, by the command `under` if one is given, and `detached` as the leader of a group; `PORT` in its source is a free port. */
async function program(t, source, { name = 'server.js', args = [], flags = [], env = {}, files = {}, cwd = folder(t), under = [], detached = false } = {}) {
  const port = await freePort();
  const write = (file, text) => fs.writeFileSync(path.join(cwd, file), text.replaceAll('PORT', String(port)));
  write(name, source);
  for (const [file, text] of Object.entries(files)) write(file, text);
  const clean = Object.fromEntries(Object.entries(process.env).filter(([key]) => key !== 'NODE_TEST_CONTEXT'));
  const [command, ...line] = [...under, process.execPath, ...flags, name, ...args.map((arg) => (arg === 'PORT' ? String(port) : arg))];
  const variables = typeof env === 'function' ? env(port) : env;
  const child = spawn(command, line, { cwd, env: { ...clean, ...variables }, detached });
  const started = new Program(child, port, cwd);
  t.after(async () => {
    child.kill('SIGKILL');
    await started.ended;
  });
  return started;
}

module.exports = { COMMAND, LIMIT, program, until, freePort, freePorts, folder };
