'use strict';
// Whether this process runs tests: each node would run them again.

const fs = require('node:fs');
const path = require('node:path');

/** Packages whose own files are the main files of processes that run tests. */
const RUNNERS = ['jest', 'jest-cli', 'jest-worker', 'vitest', 'mocha', 'ava', 'tap', 'tape', 'jasmine', 'uvu', '@playwright/test'];

/** Packages whose processes run tests if this variable is set. */
const POOLS = { tinypool: 'VITEST', workerpool: 'MOCHA_WORKER_ID' };

/** Names of files that Node.js itself takes for tests. */
const TEST_FILE = /(?:^test|^test-.+|[._-]test|\.spec)\.[cm]?[jt]sx?$/;

/** The name of what runs the tests, or null. */
function testRunner() {
  const main = process.argv[1] === undefined ? '' : real(process.argv[1]);
  const owner = packageOf(main);
  if (RUNNERS.includes(owner)) return owner;
  if (process.env[POOLS[owner]]) return owner;
  const loaded = process.moduleLoadList?.some((name) => name.includes('test_runner/harness'));
  return loaded && (process.env.NODE_TEST_CONTEXT || TEST_FILE.test(path.basename(main))) ? 'node:test' : null;
}

function real(file) {
  try {
    return fs.realpathSync(file);
  } catch {
    return file;
  }
}

/** The package that a file is of, by the last `node_modules` in its path. */
function packageOf(file) {
  const name = /.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)/.exec(file)?.[1];
  return name?.replace('\\', '/');
}

module.exports = { testRunner };
