'use strict';
// Where what was built for this platform is: beside this package's own files after a build, or in the optional package of the platform.

const { join } = require('node:path');

/** What this platform's package is called, by its C library. */
const platform = (libc) => `linux-${process.arch}-${libc}`;

/** Where the binding for a C library may be. */
const bindings = (libc) => [join(__dirname, '..', `multi-node.${platform(libc)}.node`), `@multi-node/${platform(libc)}`];

/** Where the command may be. */
const commands = (libc) => [join(__dirname, '..', `multi-node.${platform(libc)}`), `@multi-node/${platform(libc)}/multi-node`];

/** This process's C library. The report takes 10 ms, which a node that starts does not have to spare. */
const libc = () => (process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl');

/** The file that is installed for this process, if there is one. */
function installed(placesOf) {
  const found = ['gnu', 'musl'].map((libc) => ({ libc, file: placesOf(libc).map(find).find(Boolean) })).filter(({ file }) => file !== undefined);
  if (found.length === 0) return undefined;
  const fits = found.length === 1 ? found[0] : found.find((one) => one.libc === libc());
  return fits.file;
}

function find(name) {
  try {
    return require.resolve(name);
  } catch {
    return undefined;
  }
}

module.exports = { bindings, commands, installed, libc, platform };
