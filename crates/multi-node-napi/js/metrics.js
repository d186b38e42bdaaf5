'use strict';
// What the program measures by registers of prom-client, as the library takes it.

const { failure } = require('./errors.js');

/** How long a register may take; the library itself waits for a second. */
const LIMIT = 500;

const RULES = new Set(['sum', 'max', 'min', 'first', 'omit']);

/** Registers, and all that they tell when the library asks. */
class Meter {
  /** Each with what it is still busy with, if anything. */
  #registers = new Map();
  #warned = new Set();

  add(registers) {
    for (const register of registers) if (!this.#registers.has(register)) this.#registers.set(register, null);
  }

  /** All series as they are now; never rejects, and does not wait for a register that hangs. */
  async read() {
    const all = await Promise.all([...this.#registers.keys()].map((register) => this.#readOne(register)));
    return all.flat();
  }

  async #readOne(register) {
    const isBusy = this.#registers.get(register) !== null;
    const reading = isBusy ? this.#registers.get(register) : this.#begin(register);
    try {
      return await within(LIMIT, reading);
    } catch (error) {
      this.warn(register, `a register could not tell what it has measured: ${error?.message ?? error}`);
      return [];
    }
  }

  #begin(register) {
    const reading = (async () => (await register.getMetricsAsJSON()).flatMap(samplesOf))();
    this.#registers.set(register, reading);
    const done = () => this.#registers.set(register, null);
    reading.then(done, done);
    return reading;
  }

  /** Says once of a subject what is wrong with it. */
  warn(subject, message) {
    if (this.#warned.has(subject) || this.#warned.size === 100) return;
    this.#warned.add(subject);
    process.emitWarning(message, { code: 'MULTI_NODE_METRICS' });
  }
}

/** Throws what says how it is done. */
function checkRegisters(registers) {
  const isRegister = (value) => typeof value?.getMetricsAsJSON === 'function';
  if (registers.length > 0 && registers.every(isRegister)) return;
  throw failure('REGISTER', '`nodes.metrics` takes registers of prom-client, such as `require("prom-client").register`', TypeError);
}

function within(time, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${time} ms`)), time);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The series of one metric. */
function samplesOf({ name, help, type, aggregator, values }) {
  const about = { name: String(name), help: String(help ?? ''), kind: String(type), rule: ruleOf(aggregator) };
  if (type === 'histogram') return distributions(about, values, 'le');
  if (type === 'summary') return distributions(about, values, 'quantile');
  return values.map(({ labels, value }) => ({ ...about, labels: pairs(labels), value: Number(value) }));
}

function ruleOf(aggregator) {
  if (aggregator === 'average') return 'mean';
  return RULES.has(aggregator) ? aggregator : undefined;
}

/** Series with a count and a sum, whose values come one by one; `own` is the label of buckets or quantiles. */
function distributions(about, values, own) {
  const series = new Map();
  for (const { metricName, labels: { [own]: place, ...labels }, value } of values) {
    const key = JSON.stringify(pairs(labels));
    const one = series.get(key) ?? { ...about, labels: pairs(labels), value: 0, count: 0, bounds: [], below: [] };
    series.set(key, one);
    if (metricName === `${about.name}_sum`) one.value = Number(value);
    else if (metricName === `${about.name}_count`) one.count = Number(value);
    else if (own === 'le' && place !== '+Inf') {
      one.bounds.push(Number(place));
      one.below.push(Number(value));
    }
  }
  return [...series.values()];
}

function pairs(labels) {
  return Object.entries(labels ?? {}).map(([name, value]) => [name, String(value)]);
}

module.exports = { Meter, checkRegisters };
