'use strict';
// From snapshots of the fleet to what has happened between them.

const { constants } = require('node:os');

// Where two names have one number, the first is the usual one.
const SIGNALS = new Map(Object.entries(constants.signals).reverse().map(([name, number]) => [number, name]));

class StatusDiff {
  /** Who fills each slot. */
  #holders = new Map();
  /** Unasked ends of each slot's nodes. */
  #restarts = new Map();
  #ready = false;

  /** Emits "restart" where a node takes the place of one that ended unasked, and "ready" once. */
  tell(status, nodes) {
    for (const { slot, id, pid, restarts } of status.slots) {
      if (!id || !pid || this.#holders.get(slot) === id) continue;
      const replaces = restarts > (this.#restarts.get(slot) ?? 0);
      this.#holders.set(slot, id);
      this.#restarts.set(slot, restarts);
      if (replaces) nodes.emit('restart', { id, slot, pid });
    }
    if (status.ready && !this.#ready) {
      this.#ready = true;
      nodes.emit('ready');
    }
  }
}

/** A node's exit, as the event reports it. */
function exitOf({ id, slot, pid, exit }) {
  return { id, slot, pid, code: exit.code ?? null, signal: SIGNALS.get(exit.signal) ?? null };
}

module.exports = { StatusDiff, exitOf };
