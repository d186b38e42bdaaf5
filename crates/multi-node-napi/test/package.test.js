'use strict';
// The package as a new user gets it.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { folder, program } = require('./program.js');

const ROOT = path.join(__dirname, '..');
const npm = (args, cwd) => execFileSync('npm', [...args, '--silent', '--no-audit', '--no-fund'], { cwd, encoding: 'utf8' });

test('the tarball of a local build is installed and serves', async (t) => {
  const cwd = folder(t);
  const [{ filename, files }] = JSON.parse(npm(['pack', '--json', '--pack-destination', cwd], ROOT));
  const names = files.map(({ path: name }) => name);
  assert.ok(names.some((name) => name.endsWith('.node')) && names.includes('README.md') && names.includes('index.d.ts'));
  assert.ok(!names.some((name) => /^(src|test|node_modules|bench)\//.test(name)), names.join());

  fs.rmSync(path.join(cwd, 'node_modules'), { recursive: true });
  fs.writeFileSync(path.join(cwd, 'package.json'), '{ "private": true }');
  npm(['install', '--offline', `./${filename}`], cwd);
  const source = `
    var server = require("http").createServer(function(request, response){ response.end("hello from " + process.pid); });
    var nodes = require("multi-node").listen({ port: PORT, nodes: 4 }, server);
  `;
  const server = await program(t, source, { cwd });
  assert.equal((await server.pidsOf(4)).size, 4);
  assert.equal(await server.stop(), 0);
});

test('what is published has a binary of its own for each platform', (t) => {
  const out = folder(t);
  execFileSync(process.execPath, [path.join(ROOT, 'npm/packages.mjs'), out]);
  const main = JSON.parse(fs.readFileSync(path.join(out, 'multi-node/package.json'), 'utf8'));
  const [[name, version]] = Object.entries(main.optionalDependencies);
  assert.equal(version, main.version);
  const binary = JSON.parse(fs.readFileSync(path.join(out, path.basename(name), 'package.json'), 'utf8'));
  assert.deepEqual([binary.name, binary.version, binary.os, binary.cpu], [name, version, [process.platform], [process.arch]]);
  assert.ok(fs.existsSync(path.join(out, path.basename(name), binary.main)));
  assert.ok(!fs.readdirSync(path.join(out, 'multi-node')).some((file) => file.endsWith('.node')));
});
