'use strict';
// From snapshots of the fleet to what has happened between them.

const { constants } = require('node:os');

const SIGNALS = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));
const ENDED = new Set(['vacant', 'exited', 'resting', 'gave up']);

class Story {
  /** Processes that live, by id. */
  #alive = new Map();
  /** Unasked ends of each slot's nodes. */
  #restarts = new Map();
  #ready = false;

  /** Emits "exit", "restart" and, once, "ready". */
  tell(status, nodes) {
    const entries = status.slots.filter(({ id, state }) => id && !ENDED.has(state));
    const alive = new Map(entries.map((entry) => [entry.id, entry]));
    for (const [id, entry] of this.#alive) {
      if (!alive.has(id)) nodes.emit('exit', exitOf(entry, status));
    }
    for (const entry of entries) {
      const replaced = entry.restarts > (this.#restarts.get(entry.slot) ?? 0);
      if (!this.#alive.has(entry.id) && replaced) nodes.emit('restart', { id: entry.id, slot: entry.slot, pid: entry.pid });
    }
    for (const { slot, restarts } of entries) this.#restarts.set(slot, restarts);
    this.#alive = alive;
    if (status.ready && !this.#ready) {
      this.#ready = true;
      nodes.emit('ready');
    }
  }
}

function exitOf({ id, slot, pid }, status) {
  const last = status.slots.find((entry) => entry.slot === slot && entry.lastExit)?.lastExit;
  return { id, slot, pid: pid ?? null, code: last?.code ?? null, signal: SIGNALS.get(last?.signal) ?? null };
}

module.exports = { Story };
