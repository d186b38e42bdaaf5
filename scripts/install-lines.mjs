#!/usr/bin/env node
// Runs the lines under `Start` in README.md as a newcomer does: in projects of their own beside this repository, against the registries as they
// are. The three programs have to serve by four nodes, and the installed commands have to show and reload them without a lost request.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const work = mkdtempSync(join(tmpdir(), 'multi-node-install-'));
const installed = join(work, 'installed');
/** Control sockets are in a folder `multi-node` in it; in `work` that name is the repository's. */
const runtime = join(work, 'run');

/** What is built stays, so that the next run takes less time. */
const env = {
  ...process.env,
  CARGO_TARGET_DIR: join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'install-lines'),
  CARGO_INSTALL_ROOT: installed,
  XDG_RUNTIME_DIR: runtime,
  PATH: [join(installed, 'bin'), process.env.PATH].join(delimiter),
};

/** The most that a start may take after everything has been built. */
const START = 30_000;

/** The block of code in this language behind the heading. */
function block(heading, language) {
  const section = readme.slice(readme.indexOf(heading));
  const found = new RegExp(`^\`\`\`${language}[^\\n]*\\n(.*?)^\`\`\`$`, 'ms').exec(section);
  assert.ok(found, `README.md has no ${language} under ${heading}`);
  return found[1];
}

function project(name, ...commands) {
  const folder = join(work, name);
  mkdirSync(folder);
  for (const command of commands) shell(command, folder);
  return folder;
}

function shell(command, cwd) {
  console.log(`$ ${command}`);
  execFileSync('bash', ['-euo', 'pipefail', '-c', command], { cwd, env, stdio: ['ignore', 'ignore', 'inherit'] });
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await once(server.close(), 'close');
  return port;
}

/** Starts the program, asks by the installed command whether four nodes serve, deploys it under load, and ends it. */
async function serves(name, folder, port, command, steer) {
  const program = spawn(command[0], command.slice(1), { cwd: folder, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = once(program, 'exit');
  const ask = (...args) => spawnSync(steer[0], [...steer.slice(1), ...args], { cwd: folder, env, encoding: 'utf8' });
  try {
    const end = Date.now() + START;
    const isReady = () => JSON.parse(ask('status', '--json').stdout || '{}').ready;
    while (!isReady()) {
      assert.ok(Date.now() < end && program.exitCode === null, `${name} does not serve`);
      await sleep(200);
    }
    assert.equal(JSON.parse(ask('status', '--json').stdout).wanted, 4, name);
    assert.match(await (await fetch(`http://127.0.0.1:${port}/`)).text(), /^hello from/, name);
    const reload = [...steer, 'reload', '--wait'].join(' ');
    const probe = ask('probe', `http://127.0.0.1:${port}/`, '--during', reload);
    assert.equal(probe.status, 0, `${name}: ${probe.stdout}${probe.stderr}`);
    console.log(`${name}: ${probe.stdout.trim().split('\n').at(-1)}`);
    assert.match(ask('top', '--once').stdout, /4 of 4 serve/, name);
    assert.equal(ask('stop').status, 0, name);
    assert.deepEqual(await ended, [0, null], name);
  } finally {
    program.kill('SIGKILL');
  }
}

async function rust() {
  const folder = project('app', 'cargo init --quiet --vcs none', block('**Rust**', 'sh'));
  const port = await freePort();
  writeFileSync(join(folder, 'src/main.rs'), block('**Rust**', 'rust').replace('8080', port));
  shell('cargo build', folder);
  await serves('Rust', folder, port, [join(env.CARGO_TARGET_DIR, 'debug/app')], ['multi-node']);
}

async function node() {
  const folder = project('web', 'npm init --yes', block('**Node.js**', 'sh'));
  const port = await freePort();
  writeFileSync(join(folder, 'server.js'), block('**Node.js**', 'js').replace('8080', port));
  await serves('Node.js', folder, port, ['node', 'server.js'], ['npx', 'multi-node']);
}

/** The line that starts it names several servers; Node.js is here for sure. */
async function anyOther() {
  const [install, line] = block('**Any other server**', 'sh').split('\n');
  assert.match(line, /^multi-node run -n 4 --port 8080 .*node server\.js/);
  const folder = project('other', install);
  const port = await freePort();
  writeFileSync(join(folder, 'server.js'), 'require("http").createServer((request, response) => response.end("hello from " + process.pid)).listen(8080);');
  await serves('any other', folder, port, ['multi-node', 'run', '-n', '4', '--port', String(port), 'node', 'server.js'], ['multi-node']);
}

/** What the README says of npm has to be so. */
function isUnpublished() {
  const version = (name) => spawnSync('npm', ['view', name, 'version'], { encoding: 'utf8', cwd: work }).stdout.trim();
  assert.match(readme, /Nothing is published yet/);
  assert.equal(version('@multi-node/server'), '', 'the package is published: README.md has to say so');
  assert.match(version('multi-node'), /^\d/, 'the package of 2010 is not there');
}

try {
  mkdirSync(runtime, { mode: 0o700 });
  symlinkSync(root, join(work, 'multi-node'));
  isUnpublished();
  await anyOther();
  await rust();
  await node();
  console.log('the lines of README.md lead to programs that serve');
} finally {
  rmSync(work, { recursive: true, force: true });
}
