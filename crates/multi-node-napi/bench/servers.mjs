// The servers that are measured, and their clients. Whatever is waited for has a limit.
import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const clients = join(process.env.CARGO_TARGET_DIR ?? join(here, '../../../target'), 'release/multi-node-bench');
if (!existsSync(clients)) throw new Error('first run `cargo build --release -p multi-node-bench`');

export const VARIANTS = ['multi-node', 'round-robin', 'sched-none'];

/** Clients at a time, and connections in `spread`. */
export const CLIENTS = 64;

/** No answer of a server that still works takes so long. */
const LIMIT = 20_000;

const running = new Set();

/** A server that runs, and its processes. */
export class Server {
  #child;
  #lines;

  static async start(variant, workers) {
    const server = new Server();
    server.variant = variant;
    server.workers = workers;
    server.port = await freePort();
    server.#child = spawn(process.execPath, [join(here, 'server.js'), variant, String(workers), String(server.port)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    running.add(server);
    server.#lines = createInterface({ input: server.#child.stdout })[Symbol.asyncIterator]();
    await server.#answer('its start');
    return server;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Asks the first process for something. */
  ask(question) {
    this.#child.stdin.write(`${question}\n`);
    return this.#answer(question);
  }

  async #answer(question) {
    const line = await within(`${this.variant}, asked for ${question}`, this.#lines.next());
    if (line.done) throw new Error(`${this.variant} has ended, asked for ${question}`);
    const { answer, error } = JSON.parse(line.value);
    if (error) throw new Error(`${this.variant}, asked for ${question}: ${error}`);
    return answer;
  }

  /** CPU time of all its processes, in microseconds. */
  cpu() {
    const threads = [this.pid, ...childrenOf(this.pid)].flatMap((pid) => readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`));
    return threads.reduce((sum, thread) => sum + Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ')[0]), 0) / 1000;
  }

  /** Waits until it has no connections, lest those of the measurement before count. */
  async isEmpty() {
    const local = `:${this.port.toString(16).toUpperCase().padStart(4, '0')}`;
    // Listening sockets, and those that only wait for their time to be over, are no connections of a process.
    const open = (line) => line[1]?.endsWith(local) && !['0A', '06'].includes(line[3]);
    const connections = () => readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => line.trim().split(/\s+/)).filter(open);
    for (const end = Date.now() + LIMIT; connections().length > 0; await sleep(5)) {
      if (Date.now() > end) throw new Error(`${this.variant} keeps its connections`);
    }
  }

  async stop() {
    running.delete(this);
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.kill();
    await ended;
  }

  kill() {
    for (const pid of [...childrenOf(this.pid), this.pid]) tryKill(pid);
  }
}

process.on('exit', () => running.forEach((server) => server.kill()));

export function tryKill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export function childrenOf(pid) {
  const children = (thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap(children);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(error.code)) return [];
    throw error;
  }
}

/** MiB that this line of `smaps_rollup` (proc(5)) says. */
export function memoryOf(pid, line) {
  const [, kib] = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').match(new RegExp(`^${line}:\\s*(\\d+) kB`, 'm'));
  return Number(kib) / 1024;
}

function within(what, promise) {
  const late = sleep(LIMIT, null, { ref: false }).then(() => Promise.reject(new Error(`no answer within ${LIMIT / 1000} s: ${what}`)));
  return Promise.race([promise, late]);
}

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Load by clients that cost little, in a process of its own. */
export async function load(server, mode, seconds) {
  const args = ['load', '--address', `127.0.0.1:${server.port}`, '--mode', mode, '--seconds', String(seconds), '--connections', String(CLIENTS)];
  const { stdout } = await promisify(execFile)(clients, args, { timeout: seconds * 1000 + LIMIT, killSignal: 'SIGKILL' });
  const report = JSON.parse(stdout);
  return { ...report, failed: Object.values(report.errors).reduce((sum, count) => sum + count, 0) };
}

/** The pid that answers. */
export function pidOf(server, agent, limit = LIMIT) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port: server.port, path: '/pid', agent, timeout: limit }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part)).on('end', () => resolve(Number(text))).on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`${server.variant} does not answer`))).on('error', reject);
  });
}
