'use strict';
// The end of a node's socket.io connections in a drain: one after the other, so that not all clients come to the other nodes at once.

const { failure } = require('./errors.js');

/** Milliseconds in which the connections of a node end, unless told otherwise. */
const WITHIN = 5000;

/**
 * Has the connections of this process end when it drains, each at another time; clients reconnect by themselves, and other processes
 * keep theirs.
 */
function drain(io, nodes, { within = WITHIN } = {}) {
  if (typeof nodes?.on !== 'function') throw failure('OPTION', 'drain needs what `listen` returned: drain(io, nodes)', TypeError);
  if (!Number.isFinite(within) || within < 0) {
    throw failure('OPTION', `option \`within\`: ${String(within)} is not allowed; expected milliseconds, 0 or more`, TypeError);
  }
  nodes.on('drain', () => begin(io, within));
}

function begin(io, within) {
  // socket.io has no server yet, and so no connection.
  const connections = Object.values(io.engine?.clients ?? {});
  connections.forEach((connection, at) => {
    const end = () => connection.readyState === 'open' && connection.close();
    setTimeout(end, (within * (at + Math.random())) / connections.length);
  });
  // Those that were being made.
  io.engine?.on('connection', (connection) => setTimeout(() => connection.close(), within * Math.random()));
}

module.exports = { drain };
