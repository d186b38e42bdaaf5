'use strict';
// The package as a new user gets it.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { folder, program } = require('./program.js');
const { fromReadme } = require('./readme.js');

const ROOT = path.join(__dirname, '..');
const npm = (args, cwd) => execFileSync('npm', [...args, '--silent', '--no-audit', '--no-fund'], { cwd, encoding: 'utf8' });

test('the tarball of a local build is installed and serves', async (t) => {
  const cwd = folder(t);
  const [{ filename, files }] = JSON.parse(npm(['pack', '--json', '--pack-destination', cwd], ROOT));
  const names = files.map(({ path: name }) => name);
  assert.ok(names.some((name) => name.endsWith('.node')) && names.some((name) => /^multi-node\.linux-\w+-\w+$/.test(name)) && names.includes('README.md') && names.includes('index.d.ts'));
  assert.ok(!names.some((name) => /^(src|test|node_modules|bench)\//.test(name)), names.join());

  fs.rmSync(path.join(cwd, 'node_modules'), { recursive: true });
  fs.writeFileSync(path.join(cwd, 'package.json'), '{ "private": true }');
  npm(['install', '--offline', `./${filename}`], cwd);
  const server = await program(t, fromReadme('createServer(function'), { cwd });
  assert.equal((await server.pidsOf(4)).size, 4);
  assert.equal(await server.stop(), 0);
  await runsUnchanged(t, cwd);
});

/** The command of the package runs a program that knows nothing of it, and shows, reloads and ends it. */
async function runsUnchanged(t, cwd) {
  const command = path.join(cwd, 'node_modules/.bin/multi-node');
  const env = { XDG_RUNTIME_DIR: cwd };
  const ask = (...args) => execFileSync(command, args, { cwd, encoding: 'utf8', env: { ...process.env, ...env } });
  const app = 'require("http").createServer((request, response) => response.end("hello from " + process.pid)).listen(PORT);';
  const server = await program(t, app, { cwd, name: 'web.js', under: [command, 'run', '-n', '2'], env });
  const before = await server.pidsOf(2);
  assert.equal(JSON.parse(ask('status', 'web', '--json')).wanted, 2);
  ask('reload', 'web', '--wait');
  const after = await server.pidsOf(2);
  assert.ok([...after].every((pid) => !before.has(pid)), 'every node was replaced');
  assert.throws(() => ask('scale', '0', 'web'), /multi-node stop/);
  ask('stop', 'web');
  assert.equal(await server.ended, 0);
}

test('the documents name the package as it is installed', () => {
  const documents = ['README.md', '../../README.md', '../../docs/sessions.md', '../../docs/messages.md'];
  for (const name of documents) {
    const text = fs.readFileSync(path.join(ROOT, name), 'utf8');
    assert.doesNotMatch(text, /(require\(|from )['"]multi-node['"/]/, name);
  }
});

test('what is published has a binary of its own for each platform', (t) => {
  const out = folder(t);
  execFileSync(process.execPath, [path.join(ROOT, 'npm/packages.mjs'), out]);
  const main = JSON.parse(fs.readFileSync(path.join(out, 'server/package.json'), 'utf8'));
  const [[name, version]] = Object.entries(main.optionalDependencies);
  assert.equal(version, main.version);
  const binary = JSON.parse(fs.readFileSync(path.join(out, path.basename(name), 'package.json'), 'utf8'));
  assert.deepEqual([binary.name, binary.version, binary.os, binary.cpu], [name, version, [process.platform], [process.arch]]);
  assert.ok(fs.existsSync(path.join(out, path.basename(name), binary.main)));
  assert.ok(!fs.readdirSync(path.join(out, 'server')).some((file) => file.startsWith('multi-node.')));
  for (const each of fs.readdirSync(out).filter((each) => each !== 'node_modules')) {
    const files = fs.readdirSync(path.join(out, each));
    for (const file of ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json']) assert.ok(files.includes(file), `${each} has no ${file}`);
  }
  const readme = fs.readFileSync(path.join(out, 'server/README.md'), 'utf8');
  assert.match(readme, /\]\(https:\/\/github\.com\/multi-node\/multi-node\/blob\/HEAD\/docs\/run\.md\)/);
  assert.doesNotMatch(readme, /\]\((?!#|https:)/, 'links lead somewhere from wherever they are read');
  assert.match(execFileSync(path.join(out, path.basename(name), 'multi-node'), ['--version'], { encoding: 'utf8' }), /^multi-node \d/);
});

test('the README names every code of an error, and no other', () => {
  const read = (folder) => fs.readdirSync(path.join(ROOT, folder)).map((name) => fs.readFileSync(path.join(ROOT, folder, name), 'utf8'));
  const sources = [...read('js'), ...read('src')].join('\n');
  const made = /(?:failure|wrong)\(\s*'([A-Z_]+)'|Failure::new\("([A-Z_]+)"|=> "([A-Z_]+)",|'ERR_MULTI_NODE_([A-Z_]+)'/g;
  const codes = [...sources.matchAll(made)].map((match) => match.slice(1).find(Boolean));
  // Those of commands are the library's.
  const commands = fs.readFileSync(path.join(ROOT, '../multi-node-fleet/src/command.rs'), 'utf8');
  codes.push(...[...commands.matchAll(/CommandError::\w+(?: \{ \.\. \})? => "([a-z_]+)"/g)].map(([, code]) => code.toUpperCase()));
  const [, table] = /Errors have a `code`.*?\n\n(.*?)\n\n/s.exec(fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8'));
  const named = [...table.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code);
  assert.deepEqual([...new Set(named)].sort(), [...new Set(codes)].sort());
});

test('a missing binary is an error that says how it is made, and one process serves where that is asked for', async (t) => {
  const cwd = folder(t);
  const installed = path.join(cwd, 'node_modules/@multi-node/server');
  fs.unlinkSync(installed);
  for (const name of ['package.json', 'js']) fs.cpSync(path.join(ROOT, name), path.join(installed, name), { recursive: true });
  const refused = await program(t, fromReadme('createServer(function'), { cwd });
  assert.equal(await refused.ended, 1);
  assert.match(refused.output, /no binary for linux-.*`npm run build`/);
  const server = await program(t, fromReadme('createServer(function'), { cwd, env: { MULTI_NODE: 'off' } });
  assert.deepEqual([...(await server.pidsOf(1))], [server.pid]);
  assert.equal(await server.stop(), 0);
});
