'use strict';
// The binding: the `.node` file of this package, or of the optional package for this platform. Where there is none, `why` says the
// reason, and `elsewhere` whether nodes are not supported there at all.

const fs = require('node:fs');
const { join } = require('node:path');

/** What this platform's package is called, by its C library. */
const platform = (libc) => `linux-${process.arch}-${libc}`;

/** Where the binary for a C library may be. */
const placesOf = (libc) => [join(__dirname, '..', `multi-node.${platform(libc)}.node`), `@multi-node/${platform(libc)}`];

/** This process's C library. The report takes 10 ms, which a node that starts does not have to spare. */
const libc = () => (process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl');

/** The installed binary for this process, if there is one. */
function installed() {
  const found = ['gnu', 'musl'].map((libc) => ({ libc, file: placesOf(libc).find(isThere) })).filter(({ file }) => file !== undefined);
  if (found.length === 0) return undefined;
  const fits = found.length === 1 ? found[0] : found.find((one) => one.libc === libc());
  return fits.file;
}

function isThere(name) {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

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
  const file = process.env.MULTI_NODE_BINARY || installed();
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
  if (isBundled()) return 'the package `multi-node` was bundled, and its binary was not; leave it out of the bundle, as by esbuild\'s `--external:multi-node`';
  return `this package has no binary for ${name}; \`npm run build\` makes it from the sources`;
}

/** Whether this code stands in another file than the package's own. */
function isBundled() {
  try {
    return JSON.parse(fs.readFileSync(join(__dirname, '../package.json'), 'utf8')).name !== 'multi-node';
  } catch {
    return true;
  }
}

const { binding, why, elsewhere } = load();

// In a node, standard input is the way to the master: it is taken over before any other code can read it.
const isNode = binding !== null && binding.claimRole();

module.exports = { binding, why, elsewhere, isNode };
