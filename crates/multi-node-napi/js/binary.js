'use strict';
// The binding: the `.node` file of this package, or of the optional package for this platform. Where there is none the package
// serves in one process.

const { join } = require('node:path');

/** `linux-x64-gnu` and the like, as the platform's package is called. */
function platform() {
  const { platform: system, arch } = process;
  if (system !== 'linux') return `${system}-${arch}`;
  return `${system}-${arch}-${process.report?.getReport?.().header.glibcVersionRuntime ? 'gnu' : 'musl'}`;
}

/** Finds the binary; without one, `why` says what was tried. */
function load() {
  if (process.env.MULTI_NODE_BINARY) return { binding: require(process.env.MULTI_NODE_BINARY), why: null };
  if (process.platform !== 'linux') return { binding: null, why: `nodes need Linux, and this is ${process.platform}` };
  const name = platform();
  for (const candidate of [join(__dirname, '..', `multi-node.${name}.node`), `@multi-node/${name}`]) {
    try {
      return { binding: require(candidate), why: null };
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return { binding: null, why: `this package has no binary for ${name}; \`npm run build\` makes it from the sources` };
}

const { binding, why } = load();

// In a node, standard input is the way to the master: it is taken over before any other code can read it.
const isNode = binding !== null && binding.claimRole();

module.exports = { binding, why, isNode };
