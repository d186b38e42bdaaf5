'use strict';
// The README's program in TypeScript, by any runner of it.

const assert = require('node:assert/strict');
const { program } = require('./program.js');
const { fromReadme } = require('./readme.js');

/** How the program begins. */
const EXPRESS = 'import express';

/** Starts it with these flags of Node.js, and kills a node of it. */
async function servesExpress(t, flags) {
  const files = { 'package.json': '{ "type": "module" }' };
  const server = await program(t, fromReadme(EXPRESS), { name: 'server.ts', flags, files });
  const [first] = await server.pidsOf(2);
  process.kill(first, 'SIGKILL');
  await server.says(/slot \d: SIGKILL/);
  assert.equal(await server.stop(), 0);
}

module.exports = { EXPRESS, servesExpress };
