'use strict';
// Stores for express-rate-limit and @fastify/rate-limit: all processes of the program count together.
//
// The shared table counts by a rate, and not by windows: the whole limit may come at once, and then one request each `window / limit`.

const { failure } = require('./errors.js');
const { currentNodes } = require('./listen.js');
const { argumentsOf } = require('./store.js');

/** In front of the keys, unless told otherwise. */
const PREFIX = 'rate-limit';

/** Of how many keys denied requests that are under way are known. */
const MOST_OWED = 10_000;

/** Limits of one name, whose numbers may differ from request to request. */
class Limits {
  #nodes;
  #name;
  #made = new Map();

  /** `nodes`: null where `listen` is called later. */
  constructor(nodes, name) {
    this.#nodes = nodes;
    this.#name = name;
  }

  of(limit, per) {
    // Nothing is allowed.
    if (limit < 1) return { check: () => denied(per), peek: () => denied(per), giveBack: () => undefined, reset: () => undefined };
    const numbers = `${limit}/${per}`;
    if (!this.#made.has(numbers)) this.#made.set(numbers, this.#make(limit, per));
    return this.#made.get(numbers);
  }

  #make(limit, per) {
    const nodes = this.#nodes ?? currentNodes();
    if (nodes === null) throw failure('NOT_LISTENING', 'a request was to be counted before `listen` of multi-node was called in this process');
    // A limit that depends on the request has few values. If not, none is kept.
    if (this.#made.size >= 1000) this.#made.clear();
    return nodes.limit(this.#name, { limit, per });
  }
}

function denied(resetAfter) {
  return { allowed: false, remaining: 0, resetAfter };
}

/** A request that is denied counts as one above the limit, however many there were. `less`: the request that was looked ahead for. */
function hitsOf({ allowed, remaining }, limit, less) {
  return allowed ? limit - remaining - less : limit + 1;
}

/** A store for express-rate-limit 7 and later. Each limiter needs one with a `prefix` of its own. */
class RateLimitStore {
  localKeys = false;
  #limits;
  #limit;
  #per;
  #takesBackDenied = false;
  /** By key: requests that were denied, and so not counted, and that will be taken back all the same. */
  #owed = new Map();

  constructor(nodes, options) {
    const given = argumentsOf(nodes, options);
    this.prefix = prefixOf(given.options);
    this.#limits = new Limits(given.nodes, this.prefix);
  }

  init({ limit, windowMs, skipFailedRequests = false }) {
    this.#limit = limit;
    this.#per = windowMs;
    // A denied request has failed.
    this.#takesBackDenied = skipFailedRequests;
  }

  async increment(key) {
    const checked = this.#of().check(key);
    if (!checked.allowed && this.#takesBackDenied) this.#owe(key, (this.#owed.get(key) ?? 0) + 1);
    return this.#told(checked, 0);
  }

  /** Takes back a request. */
  async decrement(key) {
    const owed = this.#owed.get(key) ?? 0;
    if (owed > 0) this.#owe(key, owed - 1);
    else this.#of().giveBack(key);
  }

  #owe(key, count) {
    this.#owed.delete(key);
    if (count > 0) this.#owed.set(key, count);
    if (this.#owed.size > MOST_OWED) this.#owed.delete(this.#owed.keys().next().value);
  }

  async resetKey(key) {
    this.#of().reset(key);
  }

  async get(key) {
    return this.#told(this.#of().peek(key), 1);
  }

  #of() {
    if (typeof this.#limit === 'number') return this.#limits.of(this.#limit, this.#per);
    const why = 'option `limit` of express-rate-limit: multi-node needs a number; make one limiter, with a prefix of its own, for each number';
    throw failure('OPTION', why, TypeError);
  }

  #told(checked, less) {
    return { totalHits: hitsOf(checked, this.#limit, less), resetTime: new Date(Date.now() + checked.resetAfter) };
  }
}

/** The class that @fastify/rate-limit takes as `store`. */
function fastifyStore(nodes, options) {
  const given = argumentsOf(nodes, options);
  const prefix = prefixOf(given.options);
  return class NodesStore {
    #name;
    #limits;

    constructor(params, name = prefix) {
      refuse(params);
      this.#name = name;
      this.#limits = new Limits(given.nodes, name);
    }

    incr(key, done, per, max) {
      answer(done, () => told(this.#limits.of(max, per).check(key), max, 0));
    }

    read(key, done, per, max) {
      answer(done, () => told(this.#limits.of(max, per).peek(key), max, 1));
    }

    /** The store of one route that has a limit of its own. */
    child(params) {
      const { method = '', url = '' } = params.routeInfo ?? {};
      return new NodesStore(params, `${this.#name} ${method}${url}`);
    }
  };
}

function told(checked, max, less) {
  return { current: hitsOf(checked, max, less), ttl: checked.resetAfter };
}

function answer(done, act) {
  let result;
  try {
    result = act();
  } catch (error) {
    done(error);
    return;
  }
  done(null, result);
}

/** What needs a count of denied requests. */
function refuse({ continueExceeding, exponentialBackoff, ban = -1 }) {
  const asked = { continueExceeding, exponentialBackoff, ban: ban > 0 };
  const name = Object.keys(asked).find((one) => asked[one]);
  if (name === undefined) return;
  throw failure('OPTION', `option \`${name}\` of @fastify/rate-limit: multi-node does not count denied requests; leave it out`, TypeError);
}

function prefixOf({ prefix = PREFIX, ...others }) {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw failure('OPTION', `there is no option \`${unknown}\` of this store; there is prefix`, TypeError);
  if (typeof prefix === 'string' && prefix !== '') return prefix;
  throw failure('OPTION', `option \`prefix\`: ${JSON.stringify(prefix)} is not allowed; expected a text`, TypeError);
}

module.exports = { RateLimitStore, fastifyStore };
