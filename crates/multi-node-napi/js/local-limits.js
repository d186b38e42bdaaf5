'use strict';
// Limits, counters and gauges of a process that serves alone: what the library offers, without it.

const { performance } = require('node:perf_hooks');
const { failure } = require('./errors.js');

/** The library's bounds. */
const MOST = { counters: 256, gauges: 64 };

/** All limits and counters of the process. */
class LocalLimits {
  #keys;
  #times = new Map();
  #counters = new Map();
  #gauges = new Map();

  constructor(keys) {
    this.#keys = keys;
  }

  limit(name, limit, per) {
    const prefix = `${name}\0`;
    const interval = per / limit;
    return {
      check: (key) => this.#check(prefix + key, interval, per),
      peek: (key) => this.#peek(prefix + key, interval, per),
      giveBack: (key) => this.#change(prefix + key, (time) => time - interval),
      reset: (key) => void this.#times.delete(prefix + key),
    };
  }

  /** Each event moves the time of its key on by an interval. An event that would move it further ahead than a whole burst is denied. */
  #check(key, interval, burst) {
    const now = performance.now();
    const checked = this.#peek(key, interval, burst, now);
    const next = Math.max(this.#times.get(key) ?? 0, now) + interval;
    if (checked.allowed && (this.#times.has(key) || this.#hasRoom(now))) this.#times.set(key, next);
    return checked;
  }

  #peek(key, interval, burst, now = performance.now()) {
    // What is added up is not exact.
    const ahead = Math.max(this.#times.get(key) ?? 0, now) - now + interval - interval / 1e6;
    if (ahead > burst) return { allowed: false, remaining: 0, retryAfter: ahead - burst, resetAfter: ahead - burst };
    return { allowed: true, remaining: Math.floor((burst - ahead) / interval), retryAfter: 0, resetAfter: ahead };
  }

  #change(key, change) {
    const time = this.#times.get(key);
    if (time !== undefined) this.#times.set(key, change(time));
  }

  /** A key that is quiet again counts as one that was never there. */
  #hasRoom(now) {
    if (this.#times.size < this.#keys) return true;
    for (const [key, time] of this.#times) if (time <= now) this.#times.delete(key);
    return this.#times.size < this.#keys;
  }

  counter(name) {
    if (!this.#counters.has(name) && this.#counters.size >= MOST.counters) {
      throw failure('COUNTERS', `there are ${MOST.counters} counters already, which is the most`);
    }
    const counter = this.#counters.get(name) ?? { value: 0, add: (number) => void (counter.value += number) };
    this.#counters.set(name, counter);
    return counter;
  }

  gauge(name) {
    if (!this.#gauges.has(name) && this.#gauges.size >= MOST.gauges) {
      throw failure('GAUGES', `there are ${MOST.gauges} gauges already, which is the most`);
    }
    const made = { value: 0, add: (number) => void (gauge.value += number), set: (number) => void (gauge.value = number) };
    const gauge = this.#gauges.get(name) ?? made;
    this.#gauges.set(name, gauge);
    return gauge;
  }
}

module.exports = { LocalLimits };
