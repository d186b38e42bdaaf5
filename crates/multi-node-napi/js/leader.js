'use strict';
// Jobs that one process of the machine does, or of all machines.

const { failure, fromException } = require('./errors.js');

/** What the library says; 0 is nothing. */
const WHAT = { begun: 1, lost: 2, over: 3 };

/** Resolves when this process takes no further part; rejects with what the job has thrown. */
async function lead(bus, name, job, joined = false) {
  if (typeof name !== 'string') throw failure('LEASE', 'a lease needs a name: a string of 1 to 255 bytes', TypeError);
  if (typeof job !== 'function') throw failure('LEASE', `the job of the lease \`${name}\` is no function`, TypeError);
  const claim = new Claim(bus, name, job, joined);
  await claim.over;
  await claim.done;
}

/** This process's part in a lease. */
class Claim {
  /** What came of the job. */
  done = undefined;
  over;
  #job;
  #handle;
  #end;
  #joined;
  #aborts;

  constructor(bus, name, job, joined) {
    this.#job = job;
    this.#joined = joined;
    this.over = new Promise((resolve) => (this.#end = resolve));
    try {
      this.#handle = bus.leader(name, joined, () => this.#turn());
    } catch (exception) {
      throw fromException(exception);
    }
    this.#turn();
  }

  #turn() {
    for (let what = this.#handle.take(); what !== 0; what = this.#handle.take()) {
      if (what === WHAT.begun) this.done = this.#begin();
      if (what === WHAT.lost) this.#aborts.abort();
      if (what === WHAT.over) return this.#end();
    }
  }

  /** A lease of all machines may be lost and taken again: each time the job begins anew. */
  #begin() {
    this.#aborts = new AbortController();
    const { signal } = this.#aborts;
    const term = this.#joined ? [{ fencingToken: this.#handle.token() }] : [];
    const done = run(() => this.#job(signal, ...term), signal).finally(() => this.#handle.end());
    // `lead` passes it on.
    done.catch(() => undefined);
    return done;
  }
}

/** A job that ends since its signal has told it to has not failed. */
async function run(job, signal) {
  try {
    await job();
  } catch (error) {
    if (!(signal.aborted && error?.name === 'AbortError')) throw error;
  }
}

module.exports = { lead, WHAT };
