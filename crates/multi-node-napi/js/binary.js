'use strict';
// The binding: the `.node` file of this package, or of the optional package for this platform. Where there is none, `why` says the
// reason, and `elsewhere` whether nodes are not supported there at all.

const fs = require('node:fs');
const { join } = require('node:path');
const { bindings, installed, libc, platform } = require('./places.js');

/** Why nodes are not supported here at all; null where they are. */
function unsupported() {
  const { bun, deno } = process.versions;
  if (bun !== undefined) return `nodes need Node.js, and this is Bun ${bun}`;
  if (deno !== undefined) return `nodes need Node.js, and this is Deno ${deno}`;
  return process.platform === 'linux' ? null : `nodes need Linux, and this is ${process.platform}`;
}

function load() {
  const why = unsupported();
  if (why !== null) return { binding: null, why, elsewhere: true };
  const file = process.env.MULTI_NODE_BINARY || installed(bindings);
  if (file === undefined) return { binding: null, why: missing(platform(libc())), elsewhere: false };
  try {
    return { binding: require(file), why: null, elsewhere: false };
  } catch (error) {
    return { binding: null, why: broken(file, error), elsewhere: false };
  }
}

function broken(file, { code, message }) {
  if (code === 'ERR_DLOPEN_DISABLED') return 'this process may load no addons; start it with `--allow-addons` beside `--permission`, and without `--no-addons`';
  return `its binary ${file} cannot be loaded: ${message}`;
}

function missing(name) {
  if (isBundled()) return 'the package `@multi-node/server` was bundled, and its binary was not; leave it out of the bundle, as by esbuild\'s `--external:@multi-node/server`';
  return `this package has no binary for ${name}; \`npm run build\` makes it from the sources`;
}

/** Whether this code stands in another file than the package's own. */
function isBundled() {
  try {
    return JSON.parse(fs.readFileSync(join(__dirname, '../package.json'), 'utf8')).name !== '@multi-node/server';
  } catch {
    return true;
  }
}

const { binding, why, elsewhere } = load();

// In a node, standard input is the way to the master: it is taken over before any other code can read it.
const isNode = binding !== null && binding.claimRole();

module.exports = { binding, why, elsewhere, isNode };
