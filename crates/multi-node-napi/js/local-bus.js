'use strict';
// Topics, requests, limits and leases in a process that serves alone: what the library offers, without it.

const { batchOf, kept, lengthOf } = require('./batch.js');
const { LocalCalls } = require('./local-calls.js');
const { LocalLeases } = require('./local-leases.js');
const { LocalLimits } = require('./local-limits.js');
const { failure } = require('./errors.js');

/** The library's bounds, and the defaults of those that are options. */
const MOST = { name: 255, message: 1 << 20, messages: 4096, bytes: 16 << 20, batch: 1024, requests: 1024, keys: 65_536 };

class LocalBus {
  #me;
  #topics = new Map();
  #most;
  #limits;
  #leases = new LocalLeases();

  constructor(me, { maxMessage, maxSubscriptionBacklog, maxRequestsInFlight, maxKeys } = {}) {
    this.#me = me;
    const { message, messages, requests, keys } = MOST;
    this.#most = {
      ...MOST,
      message: maxMessage ?? message,
      messages: maxSubscriptionBacklog ?? messages,
      requests: maxRequestsInFlight ?? requests,
    };
    this.#limits = new LocalLimits(maxKeys ?? keys);
  }

  topic(name, history) {
    const length = Buffer.byteLength(name);
    if (length === 0 || length > MOST.name) throw failure('TOPIC', `a topic's name has 1 to ${MOST.name} bytes, this one has ${length}`);
    const shared = this.#topics.get(name) ?? { me: this.#me, most: this.#most, feeds: new Set(), history: [], keeps: 0, users: 0 };
    this.#topics.set(name, shared);
    shared.keeps = Math.max(shared.keeps, history);
    shared.users += 1;
    return new LocalTopic(shared, () => this.#release(name, shared));
  }

  #release(name, shared) {
    shared.users -= 1;
    if (shared.users === 0) this.#topics.delete(name);
  }

  calls(turn) {
    return new LocalCalls(this.#me, this.#most, turn);
  }

  limit(name, limit, per) {
    return this.#limits.limit(name, limit, per);
  }

  counter(name) {
    return this.#limits.counter(name);
  }

  gauge(name) {
    return this.#limits.gauge(name);
  }

  leader(name, joined, turn) {
    if (joined) throw failure('LEASE', `the lease \`${name}\` is one of all machines, and this process serves alone: \`join\` needs nodes`);
    return this.#leases.leader(name, turn);
  }

  /** Resolves when the jobs of leases have ended. */
  drain() {
    return this.#leases.drain();
  }
}

class LocalTopic {
  #shared;
  #release;

  constructor(shared, release) {
    this.#shared = shared;
    this.#release = release;
  }

  publish(content) {
    const length = lengthOf(content);
    const most = this.#shared.most.message;
    if (length > most) {
      throw failure('TOO_LARGE', `the message has ${length} bytes, but at most ${most} are allowed: raise \`maxMessage\`, or send less`);
    }
    const message = { from: this.#shared.me, content: kept(content), length };
    const { feeds, history, keeps } = this.#shared;
    if (keeps > 0) history.push(message);
    if (history.length > keeps) history.shift();
    for (const feed of feeds) feed.push(message);
    return true;
  }

  /** No other process has to be waited for. */
  async room() {}

  subscribe(turn) {
    const feed = new LocalFeed(this.#shared, turn);
    this.#shared.feeds.add(feed);
    return feed;
  }

  /** The other processes. */
  subscribers() {
    return [];
  }

  close() {
    this.#release();
  }
}

class LocalFeed {
  #shared;
  #turn;
  #queue;
  #bytes = 0;
  #missed = 0;
  #called = false;
  #told = false;

  constructor(shared, turn) {
    this.#shared = shared;
    this.#turn = turn;
    this.#queue = [...shared.history];
    this.#bytes = this.#queue.reduce((sum, { length }) => sum + length, 0);
  }

  push(message) {
    const isFull = this.#queue.length >= this.#shared.most.messages || this.#bytes + message.length > MOST.bytes;
    if (isFull && this.#queue.length > 0) this.#missed += 1;
    else this.#append(message);
    this.#call();
  }

  #append(message) {
    if (this.#missed > 0) this.#queue.push(this.#gap());
    this.#queue.push(message);
    this.#bytes += message.length;
  }

  #call() {
    if (this.#called) return;
    this.#called = true;
    setImmediate(() => {
      this.#called = false;
      this.#turn();
    });
  }

  take() {
    const taken = this.#queue.splice(0, MOST.batch);
    for (const { length } of taken) this.#bytes -= length;
    const more = this.#queue.length > 0;
    if (!more && this.#missed > 0) taken.push(this.#gap());
    const unconfirmed = this.#told ? undefined : [];
    this.#told = true;
    return { ...batchOf(taken), more, unconfirmed };
  }

  #gap() {
    const missed = this.#missed;
    this.#missed = 0;
    return { from: this.#shared.me, missed, length: 0 };
  }

  close() {
    this.#shared.feeds.delete(this);
    this.#queue = [];
  }
}

module.exports = { LocalBus };
