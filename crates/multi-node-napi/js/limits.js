'use strict';
// Limits, counters and gauges of all processes together.

const { failure, fromException } = require('./errors.js');

/** How much each key may do. */
class Limit {
  #handle;

  constructor(bus, name, { limit, per } = {}) {
    if (!Number.isSafeInteger(limit) || limit < 1) throw wrong('limit', limit, 'a whole number above 0');
    if (!Number.isFinite(per) || per <= 0) throw wrong('per', per, 'milliseconds, above 0');
    this.#handle = made(() => bus.limit(nameOf(name), limit, per));
  }

  check(key) {
    return this.#handle.check(String(key));
  }

  /** What `check` would give now. */
  peek(key) {
    return this.#handle.peek(String(key));
  }

  /** An allowed event counts no more. */
  giveBack(key) {
    this.#handle.giveBack(String(key));
  }

  /** Forgets what this key did. */
  reset(key) {
    this.#handle.reset(String(key));
  }
}

/** A number that only grows. */
class Counter {
  #handle;

  constructor(bus, name) {
    this.#handle = made(() => bus.counter(nameOf(name)));
  }

  add(number = 1) {
    if (!Number.isSafeInteger(number) || number < 0) throw wrong('number', number, 'a whole number, 0 or more');
    this.#handle.add(number);
  }

  get value() {
    return this.#handle.value;
  }
}

/** A number of which each process has a part, which goes with the process. */
class Gauge {
  #handle;

  constructor(bus, name) {
    this.#handle = made(() => bus.gauge(nameOf(name)));
  }

  add(number = 1) {
    this.#handle.add(whole(number));
  }

  set(number) {
    this.#handle.set(whole(number));
  }

  get value() {
    return this.#handle.value;
  }
}

function whole(number) {
  if (Number.isSafeInteger(number)) return number;
  throw wrong('number', number, 'a whole number');
}

function nameOf(name) {
  if (typeof name === 'string') return name;
  throw wrong('name', name, 'a string');
}

function made(make) {
  try {
    return make();
  } catch (exception) {
    throw fromException(exception);
  }
}

function wrong(option, value, expected) {
  return failure('OPTION', `option \`${option}\`: ${String(value)} is not allowed; expected ${expected}`, TypeError);
}

module.exports = { Limit, Counter, Gauge };
