#!/usr/bin/env node
'use strict';
// Serves what a module exports: a server, an application, or a request handler.

const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { parseArgs } = require('node:util');
const { listen } = require('../js/index.js');

const USAGE = `multi-node [options] <module> [arguments]

Serves what the module exports (as module.exports, or as default) by several processes.

  -n, --nodes <number>         processes that serve; default: one for each core; 0: this one
  -p, --port <port>            default 80, or PORT
      --host <address>         default 0.0.0.0, or HOST
      --drain-timeout <ms>     to finish what is in flight when a process leaves; default 30000
  -h, --help

SIGHUP reloads, SIGTERM shuts down.`;

function fail(message) {
  process.stderr.write(`multi-node: ${message}\n`);
  process.exit(2);
}

function read() {
  const options = {
    nodes: { type: 'string', short: 'n' },
    port: { type: 'string', short: 'p' },
    host: { type: 'string' },
    'drain-timeout': { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  };
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return fail(`${error.message}\n\n${USAGE}`);
  }
}

function number(name, text) {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) fail(`${name}: ${JSON.stringify(text)} is not allowed; expected a whole number`);
  return Number(text);
}

async function main() {
  const { values, positionals } = read();
  if (values.help) return process.stdout.write(`${USAGE}\n`);
  const [name, ...rest] = positionals;
  if (name === undefined) return fail(`no module was given\n\n${USAGE}`);
  const file = path.resolve(name);
  // The module sees its own command line; nodes are started with this one.
  const [own, typed] = [[process.argv[0], file, ...rest], process.argv];
  process.argv = own;
  const module = await import(pathToFileURL(require.resolve(file)).href);
  process.argv = typed;
  const options = {
    nodes: number('--nodes', values.nodes),
    port: number('--port', values.port ?? process.env.PORT),
    host: values.host ?? process.env.HOST,
    drainTimeout: number('--drain-timeout', values['drain-timeout']),
  };
  const nodes = listen(options, module.default ?? module);
  process.argv = own;
  if (nodes.isMaster) nodes.once('ready', () => process.stderr.write(`multi-node: serving ${name}\n`));
  nodes.on('error', (error) => fail(error.message));
}

main().catch((error) => {
  process.stderr.write(`multi-node: ${error.code?.startsWith('ERR_MULTI_NODE') ? error.message : error.stack}\n`);
  process.exit(1);
});
