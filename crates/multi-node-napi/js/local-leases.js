'use strict';
// Leases of a process that serves alone: it holds them all, one job of each name at a time.

const { failure } = require('./errors.js');
const { WHAT } = require('./leader.js');

/** The library's bounds. */
const MOST = { name: 255, leases: 64 };

/** All leases of the process. */
class LocalLeases {
  /** By name: who does the job, and who waits. */
  #claims = new Map();
  #count = 0;
  #draining = false;
  #returned = () => undefined;

  leader(name, turn) {
    const length = Buffer.byteLength(name);
    if (length === 0 || length > MOST.name) throw failure('LEASE', `the name of a lease has 1 to ${MOST.name} bytes`);
    if (this.#count >= MOST.leases) throw failure('LEASE', `the process holds and waits for ${MOST.leases} leases already, which is the most`);
    const claim = { begun: false, says: [], turn };
    if (this.#draining) this.#say(claim, WHAT.over);
    else this.#add(name, claim);
    return { take: () => claim.says.shift() ?? 0, end: () => this.#end(name, claim) };
  }

  #add(name, claim) {
    this.#count += 1;
    this.#claims.set(name, [...(this.#claims.get(name) ?? []), claim]);
    this.#grant(name);
  }

  #grant(name) {
    const [first] = this.#claims.get(name);
    if (!first || first.begun || this.#draining) return;
    first.begun = true;
    this.#say(first, WHAT.begun);
  }

  #end(name, claim) {
    this.#remove(name, claim);
    this.#grant(name);
    if (this.#count === 0) this.#returned();
  }

  #remove(name, claim) {
    this.#count -= 1;
    this.#claims.set(name, this.#claims.get(name).filter((other) => other !== claim));
    this.#say(claim, WHAT.over);
  }

  #say(claim, what) {
    claim.says.push(what);
    setImmediate(claim.turn);
  }

  /** The process drains: jobs are to end. Resolves when they have. */
  drain() {
    this.#draining = true;
    for (const [name, claims] of this.#claims) {
      for (const claim of claims) claim.begun ? this.#say(claim, WHAT.lost) : this.#remove(name, claim);
    }
    return new Promise((resolve) => (this.#count === 0 ? resolve() : (this.#returned = resolve)));
  }
}

module.exports = { LocalLeases };
