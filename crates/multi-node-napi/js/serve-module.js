'use strict';
// Serves what a module exports (a server, an application, a request handler), or the servers on which it calls `listen`: what the
// command does with a module.

const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { parseArgs } = require('node:util');
const { isNode } = require('./binary.js');
const { Captured } = require('./captured.js');
const { listen, hasListened } = require('./listen.js');
const { obey } = require('./options.js');

const USAGE = `multi-node [options] <module> [arguments]
multi-node run|status|top|logs|reload|scale|stop|…   see multi-node help

Serves what the module exports (as module.exports, or as default) by several processes: a server, an application or a request
handler. The module is a path: \`app.js\`, \`./dist\`. One whose server listens by itself, as by \`app.listen(3000)\`, is
served where that asks to be; one that calls \`listen\` of this package is served by these options in place of its own.

  -n, --nodes <number>         processes that serve; default: one for each core; 0: this one
  -p, --port <port>            default PORT, or where the module listens, or 80
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

/** The module's file, as `require` would find it. */
function find(name) {
  try {
    return require.resolve(path.resolve(name));
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    return fail(`there is no module ${path.resolve(name)}`);
  }
}

async function main() {
  const { values, positionals } = read();
  if (values.help) return process.stdout.write(`${USAGE}\n`);
  const [name, ...rest] = positionals;
  if (name === undefined) return fail(`no module was given\n\n${USAGE}`);
  const file = find(name);
  const options = {
    nodes: number('--nodes', values.nodes),
    port: number('--port', values.port ?? process.env.PORT),
    host: values.host ?? process.env.HOST,
    drainTimeout: number('--drain-timeout', values['drain-timeout']),
  };
  // The module sees its own command line; nodes are started with this one.
  obey(options, process.argv);
  process.argv = [process.argv[0], file, ...rest];
  const captured = new Captured(hasListened, () => run(() => serveCaptured(name, captured, options)));
  const module = await import(pathToFileURL(file).href);
  if (hasListened() || !captured.isEmpty) return;
  const refusal = serveExport(name, exportOf(module));
  if (refusal !== null) awaitListen(name, refusal);
}

/** Its server may listen later, as when a database has answered. */
function awaitListen(name, refusal) {
  const note = () => hasListened() || isNode || process.stderr.write(`multi-node: ${name} exports nothing to serve; waiting until it listens\n`);
  setTimeout(note, 1000).unref();
  process.once('beforeExit', () => hasListened() || fail(refusal));
}

function serveCaptured(name, captured, { port }) {
  if (hasListened()) return captured.release();
  const { options, servers } = captured.take(port !== undefined);
  serve(name, options, servers);
}

/** What a module exports; compiled TypeScript has its default export in a field. */
function exportOf(module) {
  const exported = module.default ?? module;
  return exported?.__esModule ? (exported.default ?? exported) : exported;
}

/** Why it cannot be served, or null. */
function serveExport(name, exported) {
  try {
    serve(name, {}, exported);
    return null;
  } catch (error) {
    if (error.code !== 'ERR_MULTI_NODE_SERVER') throw error;
    return `${name} has not called \`listen\`, and what it exports cannot be served: ${error.message}`;
  }
}

function serve(name, options, servers) {
  const nodes = listen(options, servers);
  if (nodes.isMaster) nodes.once('ready', () => process.stderr.write(`multi-node: serving ${name}\n`));
  nodes.on('error', (error) => fail(error.message));
}

/** Runs it, and ends with its error. */
async function run(action) {
  try {
    await action();
  } catch (error) {
    end(error);
  }
}

function end(error) {
  process.stderr.write(`multi-node: ${error.code?.startsWith('ERR_MULTI_NODE') ? error.message : error.stack}\n`);
  process.exit(1);
}

run(main);
