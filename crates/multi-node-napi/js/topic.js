'use strict';
// Topics: what any process publishes, every process that has subscribed gets.

const { EventEmitter } = require('node:events');
const { Batch, KIND, contentOf } = require('./batch.js');
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
    const feed = this.#subscribe(true);
    this.#feed = feed;
    // The listener is not there yet, and others may follow.
    setImmediate(() => this.#deliver(feed));
  }

  #subscribe(tells = false) {
    const feed = new Feed(this.#handle, (unconfirmed) => this.#subscribed.resolve({ unconfirmed }), tells);
    this.#feeds.add(feed);
    return feed;
  }

  async #deliver(feed) {
    while (!feed.closed) {
      const item = feed.next();
      if (item) this.#tell(item);
      else await feed.turn();
    }
  }

  /** What a listener throws is no reason to lose the messages that follow. */
  #tell(item) {
    try {
      this.#emit(item);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #emit({ from, value, missed, error, subscribers }) {
    if (subscribers !== undefined) return this.emit('subscribers', subscribers);
    if (missed !== undefined) this.emit('lag', { from, missed });
    else if (error === undefined) this.emit('message', value, { from });
    else if (!this.emit('undecodable', { from, error })) process.emitWarning(error);
  }
}

/** A subscription. Nothing is kept here beside one batch: what waits, waits in the library, which bounds it. */
class Feed {
  closed = false;
  #feed;
  #settled;
  #tells;
  #items = [];
  #at = 0;
  #more = false;
  #wake = () => undefined;

  /** `tells`: what has come ends with the subscribers, where they have changed. */
  constructor(handle, settled, tells) {
    this.#feed = handle.subscribe(() => this.#wake());
    this.#settled = settled;
    this.#tells = tells;
  }

  /** The next item, if there is one now. */
  next() {
    if (this.#at === this.#items.length && !this.#more) this.#take();
    if (this.#at === this.#items.length) return undefined;
    const item = this.#items[this.#at];
    this.#at += 1;
    return item;
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
    const batch = new Batch(taken);
    this.#items = itemsOf(batch);
    if (this.#tells && taken.subscribers) this.#items.push({ subscribers: taken.subscribers });
    this.#at = 0;
    this.#more = taken.more;
    if (taken.unconfirmed) this.#settled(taken.unconfirmed);
  }
}

function itemsOf(batch) {
  const { elements } = batch;
  const items = [];
  for (let at = 0; at < elements.length; at += 3) {
    const [from, kind, content] = [elements[at], elements[at + 1], elements[at + 2]];
    if (kind === KIND.missed) items.push({ from, missed: content });
    else if (kind === KIND.json) items.push({ from, value: content });
    else items.push(messageOf(from, batch.read(kind, content)));
  }
  return items;
}

function messageOf(from, { value, why }) {
  return why === undefined ? { from, value } : { from, error: undecodable(from, why) };
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
