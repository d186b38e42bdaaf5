'use strict';
// What `listen` returns. Metrics are set up at a program's start, and loaded then. What a program may use for the first time in a request is
// loaded with this file: a deploy may have replaced the others by then.

const { EventEmitter } = require('node:events');
const { Calls } = require('./calls.js');
const { failure } = require('./errors.js');
const { lead } = require('./leader.js');
const { Counter, Gauge, Limit } = require('./limits.js');
const { Topic } = require('./topic.js');

/** This process's part in the program. */
class Nodes extends EventEmitter {
  #part;
  #calls;

  constructor(part) {
    super();
    this.#part = part;
    this.#calls = new Calls(part.bus);
    this.isMaster = part.id === 'master';
    this.id = part.id;
    this.slot = part.slot;
    /** Writes to peers that were dead. */
    this.dropped = 0;
  }

  /** The streams of all peers that are alive. */
  get peers() {
    return [...this.#part.peers];
  }

  on(event, listener) {
    super.on(event, listener);
    if (event === 'node') this.#replay(listener);
    if (event === 'joined') this.#replayRemotes(listener);
    return this;
  }

  addListener(event, listener) {
    return this.on(event, listener);
  }

  /** A listener that is added late still gets the peers that came before and are alive. */
  #replay(listener) {
    for (const stream of this.peers) {
      process.nextTick(() => {
        if (!stream.destroyed) listener.call(this, stream);
      });
    }
  }

  #replayRemotes(listener) {
    for (const [id, remote] of this.#part.remotes ?? []) {
      process.nextTick(() => {
        if (this.#part.remotes.has(id)) listener.call(this, remote);
      });
    }
  }

  /** This machine's name, where it is joined to others; else null. */
  get machine() {
    return this.#part.machine ?? null;
  }

  /** The other machines that this process knows. */
  machines() {
    return this.#part.machines?.() ?? [];
  }

  /** Which process of another machine has this id; null: none that is known. */
  remote(id) {
    return this.#part.remote?.(String(id)) ?? null;
  }

  ready() {
    return this.#part.ready();
  }

  reload() {
    return this.#part.command('reload');
  }

  upgrade() {
    return this.#part.command('upgrade');
  }

  restart(slot) {
    return this.#part.command('restart', { slot });
  }

  scale(nodes) {
    return this.#part.command('scale', { nodes });
  }

  shutdown() {
    return this.#part.command('stop');
  }

  topic(name, options) {
    return new Topic(this.#part.bus, name, options);
  }

  respond(name, handler) {
    return this.#calls.respond(name, handler);
  }

  request(name, value, options) {
    return this.#calls.request(name, value, options);
  }

  requestAll(name, value, options) {
    return this.#calls.requestAll(name, value, options);
  }

  limit(name, quota) {
    return new Limit(this.#part.bus, name, quota);
  }

  counter(name) {
    return new Counter(this.#part.bus, name);
  }

  gauge(name) {
    return new Gauge(this.#part.bus, name);
  }

  leader(name, job) {
    return lead(this.#part.bus, name, job);
  }

  /** As `leader`, for all joined machines. */
  joinedLeader(name, job) {
    return lead(this.#part.bus, name, job, true);
  }

  /** A store of sessions that all joined machines share. */
  joinedSessions(options = {}) {
    if (this.#part.machines === undefined) {
      throw failure('OPTION', '`joinedSessions` needs the option `join`, and this process serves alone', TypeError);
    }
    const { JoinedSessionStore } = require('./joined-sessions.js');
    return new JoinedSessionStore(this.#part.bus, options);
  }

  /** Whether this process answers the requests with this value, by affinity; null: it owns none at present. */
  owns(value) {
    return this.#part.owns(String(value));
  }

  /** The master exports the metrics of these prom-client registers, aggregated over all nodes. */
  metrics(...registers) {
    const { checkRegisters } = require('./metrics.js');
    checkRegisters(registers);
    this.#part.measure(registers);
  }

  async status() {
    return this.#part.status();
  }
}

module.exports = { Nodes };
