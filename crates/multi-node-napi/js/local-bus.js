'use strict';
// Topics, requests and limits in a process that serves alone: what the library offers, without it.

const { KIND } = require('./batch.js');
const { LocalCalls } = require('./local-calls.js');
const { LocalLimits } = require('./local-limits.js');
const { failure } = require('./errors.js');

/** The library's bounds. */
const MOST = { name: 255, message: 1 << 20, messages: 4096, bytes: 16 << 20, batch: 1024 };

class LocalBus {
  #me;
  #topics = new Map();
  #limits = new LocalLimits();

  constructor(me) {
    this.#me = me;
  }

  topic(name, history) {
    const length = Buffer.byteLength(name);
    if (length === 0 || length > MOST.name) throw failure('TOPIC', `a topic's name has 1 to ${MOST.name} bytes, this one has ${length}`);
    const shared = this.#topics.get(name) ?? { me: this.#me, feeds: new Set(), history: [], keeps: 0, users: 0 };
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
    return new LocalCalls(this.#me, turn);
  }

  limit(name, limit, per) {
    return this.#limits.limit(name, limit, per);
  }

  counter(name) {
    return this.#limits.counter(name);
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
    const length = Buffer.byteLength(content);
    if (length > MOST.message) {
      throw failure('TOO_LARGE', `the message has ${length} bytes, but at most ${MOST.message} are allowed`);
    }
    // The publisher may change its bytes afterwards.
    const message = { content: typeof content === 'string' ? content : Buffer.from(content), length };
    const { feeds, history, keeps } = this.#shared;
    if (keeps > 0) history.push(message);
    if (history.length > keeps) history.shift();
    for (const feed of feeds) feed.push(message);
    return true;
  }

  subscribe(turn) {
    const feed = new LocalFeed(this.#shared, turn);
    this.#shared.feeds.add(feed);
    return feed;
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
    const isFull = this.#queue.length >= MOST.messages || this.#bytes + message.length > MOST.bytes;
    if (isFull && this.#queue.length > 0) this.#missed += 1;
    else this.#append(message);
    this.#call();
  }

  #append(message) {
    if (this.#missed > 0) this.#queue.push({ missed: this.#missed, length: 0 });
    this.#missed = 0;
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
    if (!more && this.#missed > 0) {
      taken.push({ missed: this.#missed, length: 0 });
      this.#missed = 0;
    }
    const unconfirmed = this.#told ? undefined : [];
    this.#told = true;
    return { ...batchOf(taken, this.#shared.me), more, unconfirmed };
  }

  close() {
    this.#shared.feeds.delete(this);
    this.#queue = [];
  }
}

function batchOf(messages, me) {
  const from = JSON.stringify(me);
  const elements = messages.map(({ content, missed }) => {
    if (missed !== undefined) return `${from},${KIND.missed},${missed}`;
    return typeof content === 'string' ? `${from},${KIND.json},${content}` : `${from},${KIND.bytes},${content.length}`;
  });
  return { text: `[${elements.join()}]`, bytes: Buffer.concat(messages.map(({ content }) => content).filter(Buffer.isBuffer)) };
}

module.exports = { LocalBus };
