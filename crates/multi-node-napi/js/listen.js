'use strict';
// The entry point: which process is this, and in which mode does it serve?

const { isMainThread } = require('node:worker_threads');
const { binding, why, elsewhere, isNode } = require('./binary.js');
const { failure } = require('./errors.js');
const options = require('./options.js');
const { declare } = require('./servers.js');

let listens = false;

/** What `listen` returned in this process. */
let current = null;

/** Serves by several processes of this program; see README. */
function listen(given, server) {
  const checked = options.check(given);
  const declared = declare(server, checked);
  if (!isMainThread) throw failure('WORKER', '`listen` was called in a worker thread; call it in the main thread');
  if (listens) {
    throw failure('SECOND_LISTEN', '`listen` was called before in this process; one call serves several: [a, { port, server: b }]');
  }
  const alone = !isNode && servesAlone(checked);
  if (alone) {
    options.refuseUser(checked);
    options.refuseJoin(checked);
  }
  if (!alone && !isNode) refuseWhatCannotStart();
  listens = true;
  current = alone && !needsCore(checked) ? serveAlone(declared, checked) : serveByCore(declared, checked);
  return current;
}

/** Whether there is something to serve that only the core can, which can do so for one process too. */
function needsCore(checked) {
  const asked = ['metrics', 'control', 'certificates'].filter((name) => checked[name] !== undefined && checked[name] !== false);
  if (asked.length === 0 || binding !== null) return asked.length > 0;
  process.emitWarning(`option \`${asked.join('`, `')}\` has no effect: ${why}`, { code: 'MULTI_NODE_SINGLE_PROCESS' });
  return false;
}

function servesAlone({ nodes }) {
  const mode = process.env.MULTI_NODE ?? '';
  if (!['', 'on', 'off'].includes(mode)) {
    throw failure('OPTION', `MULTI_NODE=${mode} is not allowed; expected \`off\` for single-process mode, or nothing`, TypeError);
  }
  if (nodes === 0 || mode === 'off') return true;
  if (binding !== null) return false;
  if (!elsewhere) throw failure('NO_BINARY', `no nodes can be started: ${why}. { nodes: 0 } or MULTI_NODE=off serves in this process`);
  process.emitWarning(`one process serves: ${why}`, { code: 'MULTI_NODE_SINGLE_PROCESS' });
  return true;
}

/** Nodes are started as this process was, which has to have a script, and must not be a test. */
function refuseWhatCannotStart() {
  const evaluates = process.execArgv.some((arg) => /^(-e|-p|-pe|--eval|--print)\b/.test(arg));
  if (process.argv[1] === undefined && !evaluates) {
    throw failure('NO_SCRIPT', 'the nodes need a script to run, such as `node server.js`; { nodes: 0 } serves in this process');
  }
  const { testRunner } = require('./test_runners.js');
  const runner = testRunner();
  if (runner !== null) {
    throw failure(
      'IN_TEST',
      `\`listen\` was called in a test (${runner}), which every node would start again; use { nodes: 0 } or MULTI_NODE=off to serve in this process`,
    );
  }
}

function serveAlone(declared, checked) {
  const { Single } = require('./single.js');
  const alone = new Single(declared, checked);
  alone.begin();
  return alone.nodes;
}

function serveByCore(declared, checked) {
  const { Fleet } = require('./fleet.js');
  let fleet;
  try {
    fleet = new Fleet(declared, checked);
  } catch (error) {
    if (isNode && error.code === 'ERR_MULTI_NODE_MASTER_GONE') return endQuietly(error);
    // The system's refusals are events, as those of `server.listen` are; all else is the caller's mistake.
    if (error.syscall === undefined) throw error;
    return refused(declared, error);
  }
  fleet.begin();
  return fleet.nodes;
}

/** The master has reported why it has ended, and a node has nothing to add. */
function endQuietly({ message }) {
  process.stderr.write(`multi-node: ${message}\n`);
  process.exit(1);
}

function refused(declared, error) {
  const { Nodes } = require('./nodes.js');
  const failed = () => Promise.reject(error);
  const status = () => ({ ready: false, wanted: 0, slots: [] });
  const nodes = new Nodes({ id: 'master', slot: null, peers: new Set(), command: failed, measure: () => undefined, owns: () => null, status });
  const server = declared.map((entry) => entry.server).find((each) => each.listenerCount('error') > 0);
  process.nextTick(() => (server ?? nodes).emit('error', error));
  return nodes;
}

module.exports = { listen, hasListened: () => listens, currentNodes: () => current };
