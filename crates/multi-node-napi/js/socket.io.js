'use strict';
// socket.io over all processes of the program: an adapter on the bus, and a drain that lets clients reconnect one after the other.

const { createRequire } = require('node:module');
const { EventEmitter } = require('node:events');
const { failure } = require('./errors.js');
const { adapterClass } = require('./socket-io-adapter.js');
const { Channel } = require('./socket-io-channel.js');
const { drain } = require('./socket-io-drain.js');
const { ownIds } = require('./socket-io-ids.js');
const { reconnectStrays } = require('./socket-io-polls.js');

const whole = (least, most) => ({ is: (value) => Number.isInteger(value) && value >= least && value <= most, what: `a whole number from ${least} to ${most}` });
const OPTIONS = {
  name: { is: (value) => typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= 200, what: 'a text of 1 to 200 bytes' },
  history: whole(1, 1_000_000),
  maxSessions: whole(1, 10_000_000),
};
const DEFAULTS = { name: 'socket.io', history: 10_000, maxSessions: 100_000 };

/** The channels of each program's part, by name: all namespaces of a server share one. */
const channels = new WeakMap();

/** The servers whose engines are prepared. */
const prepared = new WeakSet();

/** The adapter for `new Server(server, { adapter })` and `io.adapter(…)`. */
function createAdapter(nodes, options = {}) {
  if (!(nodes instanceof EventEmitter) || typeof nodes.topic !== 'function') {
    throw failure('OPTION', 'createAdapter needs what `listen` returned: createAdapter(nodes)', TypeError);
  }
  const checked = { ...DEFAULTS, ...check(options) };
  const Adapter = adapterClass(socketIoAdapter());
  return function (namespace) {
    const channel = channelOf(nodes, checked, recoveryOf(namespace.server));
    forEngines(namespace.server, (engine) => {
      ownIds(engine, nodes);
      reconnectStrays(engine, nodes, channel);
    });
    return new Adapter(namespace, channel);
  };
}

/** Prepares a server's engine, and each that it gets later. A server is prepared once, by its first namespace. */
function forEngines(io, prepare) {
  if (prepared.has(io)) return;
  prepared.add(io);
  if (io.engine !== undefined) prepare(io.engine);
  const { bind } = io;
  io.bind = function (engine) {
    prepare(engine);
    return bind.call(this, engine);
  };
}

/** How long clients may be away, and how long what was sent to one may be lost before its connection counts as broken; null without recovery. */
function recoveryOf({ opts: { connectionStateRecovery, pingInterval = 25_000, pingTimeout = 20_000 } }) {
  if (!connectionStateRecovery) return null;
  return { away: connectionStateRecovery.maxDisconnectionDuration, lost: pingInterval + pingTimeout + 15_000 };
}

function channelOf(nodes, options, recovery) {
  const ofNodes = channels.get(nodes) ?? new Map();
  channels.set(nodes, ofNodes);
  if (!ofNodes.has(options.name)) ofNodes.set(options.name, new Channel(nodes, options, recovery));
  return ofNodes.get(options.name);
}

/** The package that socket.io itself uses, from where this package or the program finds socket.io. */
function socketIoAdapter() {
  for (const from of [__filename, require.main?.filename ?? `${process.cwd()}/x`, `${process.cwd()}/x`]) {
    try {
      const found = createRequire(createRequire(from).resolve('socket.io'))('socket.io-adapter');
      if (found.ClusterAdapter !== undefined) return found;
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw failure('NO_SOCKET_IO', '@multi-node/server/socket.io needs the package socket.io 4.7.5 or later: npm install socket.io');
}

function check(options) {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(OPTIONS, name)) {
      throw failure('OPTION', `there is no option \`${name}\` of createAdapter; there are ${Object.keys(OPTIONS).join(', ')}`, TypeError);
    }
    if (OPTIONS[name].is(value)) continue;
    throw failure('OPTION', `option \`${name}\`: ${JSON.stringify(value)} is not allowed; expected ${OPTIONS[name].what}`, TypeError);
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

module.exports = { createAdapter, drain };
