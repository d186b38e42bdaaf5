'use strict';
// The command `multi-node`, which is written in Rust: started in place of this process as far as Node.js can do that.

const { spawn } = require('node:child_process');
const { constants } = require('node:os');
const { commands, installed, libc, platform } = require('./places.js');

/** The terminal sends these to the command too, and a supervisor to this process alone. */
const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR2'];

/** A word is one of its commands, whatever files there are; a module to serve is a path: `app.js`, `./dist`. */
const isCommand = (name = '') => /^([a-z]+|--version|-V)$/.test(name);

/** Starts it with these arguments, and ends as it does. */
function start(args) {
  const file = process.env.MULTI_NODE_COMMAND || installed(commands);
  if (file === undefined) return end(`this package has no command for ${platform(libc())}; \`npm run build\` makes it from the sources`);
  const child = spawn(file, args, { stdio: 'inherit' });
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  child.on('error', ({ message }) => end(`the command ${file} cannot be started: ${message}`));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

function end(message) {
  process.stderr.write(`multi-node: ${message}\n`);
  process.exit(1);
}

module.exports = { isCommand, start };
