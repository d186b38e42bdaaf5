#!/usr/bin/env node
// How much memory (PSS) a Python program takes, by layout: nodes that each load it, nodes whose workers share what `--preload` has
// loaded, and gunicorn alone. `scripts/install-servers.sh` fetches Django and gunicorn; MULTI_NODE names the command.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const target = path.resolve(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'));
const command = process.env.MULTI_NODE ?? path.join(target, 'release/multi-node');
const servers = path.join(target, 'servers');
const PORT = 18_473;

/** The example of Django, with what a program may load at its start: about 100 MB of small objects. */
const APP = `
from app import application
table = {f"key {number}": [number, str(number)] for number in range(500_000)}
`;

const run = (nodes, ...gunicorn) => [command, 'run', '-n', String(nodes), '--control', 'off', '--port', String(PORT), '--', 'gunicorn', ...gunicorn, 'loaded:application'];
const LAYOUTS = [
  ['`multi-node run -n 8 -- gunicorn`', 8, run(8)],
  ['`multi-node run -n 2 -- gunicorn -w 4`', 8, run(2, '-w', '4')],
  ['`multi-node run -n 2 -- gunicorn -w 4 --preload`', 8, run(2, '-w', '4', '--preload')],
  ['`gunicorn -w 8`', 8, ['gunicorn', '-w', '8', '-b', `127.0.0.1:${PORT}`, 'loaded:application']],
  ['`gunicorn -w 8 --preload`', 8, ['gunicorn', '-w', '8', '--preload', '-b', `127.0.0.1:${PORT}`, 'loaded:application']],
  ['`multi-node run -n 4 -- gunicorn`', 4, run(4)],
  ['`multi-node run -n 2 -- gunicorn -w 2 --preload`', 4, run(2, '-w', '2', '--preload')],
  ['`gunicorn -w 4 --preload`', 4, ['gunicorn', '-w', '4', '--preload', '-b', `127.0.0.1:${PORT}`, 'loaded:application']],
];

/** A process with all that it has started. */
function family(pid) {
  const read = (thread) => {
    try {
      return fs.readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    } catch {
      return []; // it has ended
    }
  };
  const children = fs.readdirSync(`/proc/${pid}/task`).flatMap(read);
  return [pid, ...children.flatMap(family)];
}

const pss = (pid) => Number(/^Pss:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]) / 1024;

function get() {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port: PORT, agent: false }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part)).on('end', () => resolve(text)).on('error', reject);
    });
    request.on('error', reject);
  });
}

/** Asks until this many processes have answered, and 50 times each on average. */
async function warm(workers) {
  const seen = new Set();
  const deadline = Date.now() + 60_000;
  for (let answered = 0; seen.size < workers || answered < 50 * workers; ) {
    const answers = await Promise.all(Array.from({ length: workers * 2 }, () => get().catch(() => null)));
    answers.filter((text) => text !== null).forEach((text) => seen.add(text));
    answered += answers.filter((text) => text !== null).length;
    if (Date.now() > deadline) throw new Error(`${seen.size} of ${workers} workers answered`);
    if (answered === 0) await sleep(100);
  }
}

async function measure([, workers, [program, ...args]], folder) {
  const env = {
    ...process.env,
    PATH: `${servers}/python/bin:${process.env.PATH}`,
    PYTHONPATH: `${servers}/python:${servers}/frameworks:${root}/examples/django:${folder}`,
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text) => (log += text));
  const ended = new Promise((resolve) => child.on('exit', resolve));
  try {
    await warm(workers);
    return family(child.pid).reduce((sum, pid) => sum + pss(pid), 0);
  } catch (error) {
    throw new Error(`${[program, ...args].join(' ')}: ${error.message}\n${log}`);
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'python-memory-'));
fs.writeFileSync(path.join(folder, 'loaded.py'), APP);
console.log('| | processes that serve | PSS of all processes | of each that serves |\n|---|---|---|---|');
for (const layout of LAYOUTS) {
  const total = await measure(layout, folder);
  console.log(`| ${layout[0]} | ${layout[1]} | ${Math.round(total)} MiB | ${Math.round(total / layout[1])} MiB |`);
}
fs.rmSync(folder, { recursive: true });
