'use strict';
// What `listen` returns.

const { EventEmitter } = require('node:events');
const { Calls } = require('./calls.js');
const { lead } = require('./leader.js');
const { Counter, Gauge, Limit } = require('./limits.js');
const { checkRegisters } = require('./metrics.js');
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

  /** Whether this process answers the requests with this value, by affinity; null: it owns none at present. */
  owns(value) {
    return this.#part.owns(String(value));
  }

  /** The master exports the metrics of these prom-client registers, aggregated over all nodes. */
  metrics(...registers) {
    checkRegisters(registers);
    this.#part.measure(registers);
  }

  async status() {
    return this.#part.status();
  }
}

module.exports = { Nodes };
