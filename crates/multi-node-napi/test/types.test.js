'use strict';
// The types, as a compiler of a user sees them.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { folder } = require('./program.js');

for (const [kind, module] of [['CommonJS', 'commonjs'], ['ES', 'module']]) {
  test(`the types hold in ${kind} modules`, (t) => {
    const cwd = folder(t);
    fs.copyFileSync(path.join(__dirname, 'types.ts'), path.join(cwd, 'types.ts'));
    fs.writeFileSync(path.join(cwd, 'package.json'), JSON.stringify({ type: module }));
    const compiler = path.join(__dirname, '../node_modules/typescript/bin/tsc');
    const args = ['--strict', '--noEmit', '--module', 'nodenext', '--esModuleInterop', '--types', 'node', '--preserveSymlinks', 'types.ts'];
    execFileSync(process.execPath, [compiler, ...args], { cwd, encoding: 'utf8' });
  });
}
