#!/usr/bin/env node
// Draws docs/deploy.svg, the moving picture of the README, from a real run: a server of four nodes under load, of which one is killed and all are
// replaced by a reload, while every answer and every lost request is counted. `node scripts/moving-picture.mjs [path of the command]`.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const command = resolve(process.argv[2] ?? join(root, 'target/debug/multi-node'));
const folder = mkdtempSync(join(tmpdir(), 'multi-node-picture-'));
const environment = { ...process.env, XDG_RUNTIME_DIR: folder };
const RATE = 200;
const LOOK_EVERY = 150;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const multiNode = async (...args) => (await promisify(execFile)(command, args, { env: environment })).stdout;

/** Requests at an even rate: half of them on kept connections, half on connections of their own. */
class Load {
  answered = 0;
  lost = 0;
  #kept = new http.Agent({ keepAlive: true, maxSockets: 8 });
  #timer;

  start(port) {
    let number = 0;
    this.#timer = setInterval(() => this.#ask(port, (number += 1) % 2 ? this.#kept : false), 1000 / RATE);
  }

  #ask(port, agent) {
    const request = http.get({ port, host: '127.0.0.1', agent, timeout: 10_000 }, (response) => {
      response.resume().on('end', () => (response.statusCode === 200 ? (this.answered += 1) : (this.lost += 1)));
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    // A kept connection that was closed before the request was sent is no loss: another one is opened, as browsers and proxies do.
    request.on('error', () => (request.reusedSocket && !request.socket?.bytesRead ? this.#ask(port, false) : (this.lost += 1)));
  }

  stop() {
    clearInterval(this.#timer);
    this.#kept.destroy();
  }
}

/** What is on the screen at one time. */
function screen({ typed, status, load, told }) {
  const slots = status.slots.map(({ slot, id, generation, state, requests }) => {
    const release = generation === 0 ? 'release 1' : `release ${generation + 1}`;
    return { text: `  slot ${slot}   ${id.padEnd(8)} ${release}   ${state}`, colour: state === 'serving' ? '#a6e3a1' : '#f9e2af' };
  });
  const lines = [{ text: `$ ${typed}`, colour: '#cdd6f4' }, { text: told, colour: '#a6adc8' }, { text: '' }, ...slots.slice(0, 8)];
  while (lines.length < 11) lines.push({ text: '' });
  const lost = { text: `  lost: ${load.lost}`, colour: load.lost === 0 ? '#a6e3a1' : '#f38ba8', large: true };
  return [...lines, { text: '' }, { text: `  answered: ${String(load.answered).padStart(5)}`, colour: '#cdd6f4', large: true }, lost];
}

async function record() {
  writeFileSync(join(folder, 'web.js'), 'require("http").createServer((request, response) => response.end("hello")).listen(process.env.PORT);');
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const server = spawn(command, ['run', '-n', '4', '--settle', '1s', '-e', `PORT=${port}`, 'node', 'web.js'], { cwd: folder, env: environment, stdio: 'ignore' });
  const load = new Load();
  const frames = [];
  const scene = { typed: 'multi-node run -n 4 node web.js', told: `${RATE} requests a second`, load };
  const look = async () => {
    const status = await multiNode('status', 'web', '--json').then(JSON.parse, () => undefined);
    if (status) frames.push({ at: Date.now(), lines: screen({ ...scene, status }), ready: status.ready, status });
  };
  const until = async (ms) => {
    for (const end = Date.now() + ms; Date.now() < end; await sleep(LOOK_EVERY)) await look();
  };
  try {
    while (!frames.at(-1)?.ready) await until(LOOK_EVERY);
    frames.splice(0, frames.length - 1);
    load.start(port);
    await until(2000);
    scene.typed = `kill -9 ${frames.at(-1).status.slots[1].pid}`;
    scene.told = 'a node crashes: another one takes its slot';
    await until(700);
    process.kill(frames.at(-1).status.slots[1].pid, 'SIGKILL');
    await until(2500);
    scene.typed = 'multi-node reload web --wait';
    scene.told = 'a deploy: release 2 beside release 1, then release 1 drains';
    await until(700);
    const reload = multiNode('reload', 'web', '--wait');
    await Promise.all([reload, until(4000)]);
    scene.told = 'done';
    await until(2500);
  } finally {
    load.stop();
    server.kill('SIGTERM');
    await once(server, 'exit');
  }
  return frames;
}

/** Browsers make one space of several, whatever `xml:space` says; not of these. */
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll(' ', '\u00a0');

/** Each line is drawn once for each text that it has, and shown while it has it. */
function draw(frames) {
  const [begin, end] = [frames[0].at, frames.at(-1).at + 1500];
  const share = (at) => ((at - begin) / (end - begin)).toFixed(4);
  const rows = frames[0].lines.map((_, row) => {
    const spans = [];
    for (const { at, lines } of frames) {
      const line = lines[row];
      if (spans.at(-1)?.line.text !== line.text) spans.push({ from: at, line });
    }
    return spans.map(({ from, line }, index) => text(row, line, share(from), index + 1 < spans.length ? share(spans[index + 1].from) : '1', end - begin)).join('');
  });
  const height = frames[0].lines.length * 20 + 32;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="${height}" viewBox="0 0 640 ${height}" role="img">
<title>A node is killed, and a release is deployed, under load: no request is lost</title>
<rect width="100%" height="100%" rx="8" fill="#1e1e2e"/>
<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">
${rows.join('')}</g>
</svg>
`;
}

function text(row, { text: content, colour = '#cdd6f4', large = false }, from, to, ms) {
  if (content === '' || from === to) return '';
  const weight = large ? ' font-weight="bold" font-size="16"' : '';
  const always = from === '0.0000' && to === '1';
  const values = from === '0.0000' ? ['visible;hidden', `0;${to}`] : to === '1' ? ['hidden;visible', `0;${from}`] : ['hidden;visible;hidden', `0;${from};${to}`];
  const animation = always ? '' : `<animate attributeName="visibility" calcMode="discrete" values="${values[0]}" keyTimes="${values[1]}" dur="${ms}ms" repeatCount="indefinite"/>`;
  // Without animations the last picture is shown.
  const visibility = always || to === '1' ? '' : ' visibility="hidden"';
  return `<text x="16" y="${row * 20 + 32}" fill="${colour}"${weight}${visibility}>${escaped(content)}${animation}</text>\n`;
}

try {
  const frames = await record();
  writeFileSync(join(root, 'docs/deploy.svg'), draw(frames));
  console.log(`${frames.length} pictures; ${frames.at(-1).lines.at(-2).text.trim()}, ${frames.at(-1).lines.at(-1).text.trim()}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
