'use strict';
// Topics: what any process publishes, every process that has subscribed gets.

const { EventEmitter } = require('node:events');
const { Batch, KIND, NO_MESSAGES, contentOf } = require('./batch.js');
const { failure, fromException } = require('./errors.js');
const { Publisher, flush } = require('./outgoing.js');

const SUBSCRIBING = new Set(['message', 'lag', 'undecodable', 'subscribers']);

class Topic extends EventEmitter {
  #handle;
  #publisher;
  #feed = null;
  #feeds = new Set();
  #closed = false;
  #subscribed = deferred();

  constructor(bus, name, options = {}) {
    super();
    this.name = name;
    this.#handle = open(bus, name, options);
    // A process that serves alone is the only one that gets what it publishes.
    this.#publisher = this.#handle.publishMany === undefined ? this.#handle : new Publisher(this.#handle);
    this.on('newListener', (event) => {
      if (SUBSCRIBING.has(event)) this.#listen();
    });
  }

  /** Resolves when the first subscription is confirmed. */
  get subscribed() {
    return this.#subscribed.promise;
  }

  /** The other processes that get what this one publishes. */
  get subscribers() {
    return this.#closed ? [] : this.#handle.subscribers();
  }

  publish(value) {
    this.#check();
    try {
      return this.#publisher.publish(contentOf(value));
    } catch (exception) {
      throw fromException(exception);
    }
  }

  /** Resolves when at most half of the backlog is used at every subscribed process. */
  async room() {
    this.#check();
    return this.#publisher.room();
  }

  /** Each iterator has a subscription of its own, which `return` ends at once, also while an item is awaited. */
  [Symbol.asyncIterator]() {
    this.#check();
    const feed = this.#subscribe();
    const end = () => {
      feed.close();
      this.#feeds.delete(feed);
      return { done: true, value: undefined };
    };
    const take = async () => {
      while (!feed.closed) {
        const value = feed.next();
        if (value) return { done: false, value };
        await feed.turn();
      }
      return end();
    };
    let last = Promise.resolve();
    return {
      next: () => (last = last.then(take, take)),
      return: async () => end(),
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  close() {
    if (this.#closed) return;
    flush();
    this.#closed = true;
    for (const feed of this.#feeds) feed.close();
    this.#feeds.clear();
    this.#handle.close();
    this.#subscribed.reject(closed(this.name));
  }

  #check() {
    if (this.#closed) throw closed(this.name);
  }

  #listen() {
    if (this.#feed !== null || this.#closed) return;
    const feed = this.#subscribe();
    this.#feed = feed;
    // The listener is not there yet, and others may follow.
    setImmediate(() => this.#deliver(feed));
  }

  #subscribe() {
    const feed = new Feed(this.#handle, (unconfirmed) => this.#subscribed.resolve({ unconfirmed }));
    this.#feeds.add(feed);
    return feed;
  }

  async #deliver(feed) {
    while (!feed.closed) {
      const batch = feed.advance();
      if (batch === null && feed.subscribers === undefined) await feed.turn();
      else this.#tell(batch, feed);
    }
  }

  /** What a listener throws is no reason to lose the messages that follow. */
  #tell(batch, feed) {
    try {
      if (batch === null) this.emit('subscribers', feed.takeSubscribers());
      else this.#emit(batch);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #emit(batch) {
    const { kind, from, value, origin } = batch;
    if (kind === KIND.missed) this.emit('lag', { from, missed: value });
    else if (!batch.isUnreadable) this.emit('message', value, origin);
    else {
      const error = undecodable(from, value);
      if (!this.emit('undecodable', { from, error })) process.emitWarning(error);
    }
  }
}

/** A subscription. Nothing is kept here beside one batch: what waits, waits in the library, which bounds it. */
class Feed {
  closed = false;
  /** The subscribers, where they have changed and nobody has taken them. */
  subscribers = undefined;
  #feed;
  #settled;
  #batch = NO_MESSAGES;
  #more = false;
  #wake = () => undefined;

  constructor(handle, settled) {
    this.#feed = handle.subscribe(() => this.#wake());
    this.#settled = settled;
  }

  /** The batch, at its next message; null if there is none now. */
  advance() {
    if (this.#batch.advance()) return this.#batch;
    if (this.#more || this.subscribers !== undefined) return null;
    this.#take();
    return this.#batch.advance() ? this.#batch : null;
  }

  /** The next item of an iterator, if there is one now. */
  next() {
    this.subscribers = undefined;
    const batch = this.advance();
    return batch === null ? undefined : itemOf(batch);
  }

  takeSubscribers() {
    const { subscribers } = this;
    this.subscribers = undefined;
    return subscribers;
  }

  /** Resolves when there may be more: at once where the last batch was full, after others had their turn. */
  turn() {
    const turn = new Promise((resolve) => {
      this.#wake = resolve;
      if (this.#more) setImmediate(resolve);
    });
    this.#more = false;
    return turn;
  }

  close() {
    this.closed = true;
    this.#feed.close();
    this.#wake();
  }

  #take() {
    const taken = this.#feed.take();
    if (!taken) return;
    this.#batch = new Batch(taken);
    this.subscribers = taken.subscribers ?? undefined;
    this.#more = taken.more;
    if (taken.unconfirmed) this.#settled(taken.unconfirmed);
  }
}

function itemOf({ kind, from, value, isUnreadable }) {
  if (kind === KIND.missed) return { from, missed: value };
  return isUnreadable ? { from, error: undecodable(from, value) } : { from, value };
}

function open(bus, name, { history = 0 }) {
  if (typeof name !== 'string') throw failure('TOPIC', 'a topic needs a name: a string of 1 to 255 bytes', TypeError);
  if (!Number.isInteger(history) || history < 0 || history > 0xffff_ffff) {
    throw failure('OPTION', `option \`history\`: ${String(history)} is not allowed; expected a number of messages`, TypeError);
  }
  try {
    return bus.topic(name, history);
  } catch (exception) {
    throw fromException(exception);
  }
}

function closed(name) {
  return failure('TOPIC_CLOSED', `the topic \`${name}\` is closed`);
}

function undecodable(from, why) {
  return failure('UNDECODABLE', `a message of ${from} cannot be read: ${why}`);
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => undefined);
  return made;
}

module.exports = { Topic };
