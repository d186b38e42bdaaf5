'use strict';
// Requests: one process asks, another answers, by a deadline that always applies.

const { Batch, contentOf } = require('./batch.js');
const { failure, fromException, fromLibrary } = require('./errors.js');
const { flush } = require('./outgoing.js');

/** What a message of the library is. */
const WHAT = { asked: 0, answered: 1, answeredByOne: 2, answeredByAll: 3 };

/** The library's own deadline, in milliseconds. */
const TIMEOUT = 5000;

const LAST_TICKET = 0xffff_ffff;

class Calls {
  #bus;
  #native = null;
  #handlers = new Map();
  #waiting = new Map();
  #ticket = 0;

  constructor(bus) {
    this.#bus = bus;
  }

  /** Returns what stops it. */
  respond(name, handler) {
    if (typeof name !== 'string') throw failure('HANDLER', 'a handler needs a name: a string of 1 to 255 bytes', TypeError);
    if (typeof handler !== 'function') throw failure('HANDLER', `the handler of \`${name}\` is no function`, TypeError);
    try {
      this.#calls().respond(name);
    } catch (exception) {
      throw fromException(exception);
    }
    this.#handlers.set(name, handler);
    return () => {
      if (this.#handlers.get(name) !== handler) return;
      this.#handlers.delete(name);
      this.#calls().stopResponding(name);
    };
  }

  async request(name, value, { to, timeout = TIMEOUT, signal } = {}) {
    const whom = { ...target(to), timeout: checkTimeout(timeout) };
    const content = contentOf(value);
    signal?.throwIfAborted();
    return this.#wait({ signal }, (ticket) => this.#calls().request(ticket, String(name), content, whom));
  }

  /** Resolves with a map: the id of each process that has the handler, and its answer or error. */
  async requestAll(name, value, { timeout = TIMEOUT, signal } = {}) {
    const content = contentOf(value);
    checkTimeout(timeout);
    signal?.throwIfAborted();
    return this.#wait({ signal, answers: new Map() }, (ticket) => this.#calls().requestAll(ticket, String(name), content, timeout));
  }

  #wait({ signal, answers }, begin) {
    // What was published before goes first.
    flush();
    this.#ticket = (this.#ticket % LAST_TICKET) + 1;
    const ticket = this.#ticket;
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.delete(ticket);
        this.#calls().cancel(ticket);
        reject(signal.reason);
      };
      const done = () => signal?.removeEventListener('abort', abort);
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.set(ticket, { resolve, reject, done, answers });
      begin(ticket);
    });
  }

  #calls() {
    if (this.#native === null) {
      this.#native = this.#bus.calls(() => this.#turn());
      // Asks to be called.
      this.#turn();
    }
    return this.#native;
  }

  #turn() {
    const taken = this.#native.take();
    const batch = new Batch(taken);
    while (batch.hasMore) {
      const message = { what: batch.element(), number: batch.element(), first: batch.element(), second: batch.element() };
      batch.advance();
      this.#hear(message, batch.isUnreadable ? unreadable(batch.value) : { value: batch.value });
    }
    if (taken.more) setImmediate(() => this.#turn());
  }

  #hear({ what, number, first, second }, read) {
    if (what === WHAT.asked) {
      this.#answer(number, first, second, read);
      return;
    }
    const waiting = this.#waiting.get(number);
    // It was given up.
    if (waiting === undefined) return;
    const answer = first === '' ? read : { error: fromLibrary({ code: first, message: read.value }) };
    if (what === WHAT.answeredByOne) {
      waiting.answers.set(second, answer);
      return;
    }
    this.#waiting.delete(number);
    waiting.done();
    if (what === WHAT.answeredByAll) waiting.resolve(waiting.answers);
    else if (answer.error) waiting.reject(answer.error);
    else waiting.resolve(answer.value);
  }

  async #answer(number, name, from, { value, error }) {
    try {
      if (error) throw error;
      const handler = this.#handlers.get(name);
      if (handler === undefined) throw new Error('the handler has stopped');
      const content = contentOf(await handler(value, { from }));
      flush();
      this.#native.reply(number, content);
    } catch (thrown) {
      this.#native.replyFailure(number, String(thrown?.message ?? thrown));
    }
  }
}

function target(to) {
  if (to === undefined || to === null) return {};
  if (typeof to === 'string') return { id: to };
  if (Number.isInteger(to) && to >= 0 && to <= LAST_TICKET) return { slot: to };
  throw failure('OPTION', `option \`to\`: ${String(to)} is not allowed; expected the id of a process or the number of a slot`, TypeError);
}

function checkTimeout(timeout) {
  if (Number.isFinite(timeout) && timeout > 0) return timeout;
  throw failure('OPTION', `option \`timeout\`: ${String(timeout)} is not allowed; expected milliseconds, above 0`, TypeError);
}

function unreadable(why) {
  return { error: failure('UNDECODABLE', `the value cannot be read: ${why}`) };
}

module.exports = { Calls };
