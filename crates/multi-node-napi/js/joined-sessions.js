'use strict';
// A store of sessions that all joined machines share, for express-session and @fastify/session. The gateway of the machine keeps them in NATS.

const { fromException, fromLibrary } = require('./errors.js');
const { baseClass, check, count, DAY, expiryOf, named, ttl, warn } = require('./session-store.js');

const OPTIONS = { ttl, maxSessionBytes: count, busyTimeout: count };

/** Of how many sessions a process remembers that they were there. */
const REMEMBERED = 10_000;

class JoinedSessionStore extends baseClass() {
  #ttl;
  #sessions;
  #seen = new Set();

  constructor(bus, options) {
    super();
    const { ttl = DAY, maxSessionBytes, busyTimeout } = check(options, 'joinedSessions', OPTIONS);
    this.#ttl = ttl;
    this.#sessions = new Questions((turn) => bus.joinedSessions({ maxSessionBytes, busyTimeout }, turn));
  }

  get(sid, callback) {
    this.#load(String(sid)).then((session) => callback(null, session), callback);
  }

  async #load(sid) {
    const { data, done } = await this.#sessions.ask('load', sid);
    if (!done) return null;
    this.#remember(sid);
    return JSON.parse(data);
  }

  /** A session that was there and is gone was destroyed: it stays so, even if a request still has it. */
  set(sid, session, callback = warn) {
    this.#set(String(sid), session).then(() => callback(null), callback);
  }

  async #set(sid, session) {
    const [text, expires] = [JSON.stringify(session), expiryOf(session, this.#ttl)];
    if ((await this.#sessions.ask('save', sid, expires, text)).done || this.#seen.has(sid)) return;
    const { done } = await this.#sessions.ask('create', sid, expires, text);
    // Another process was first, with the same id.
    if (!done) await this.#sessions.ask('save', sid, expires, text);
    this.#remember(sid);
  }

  touch(sid, session, callback = warn) {
    this.#sessions.ask('touch', String(sid), expiryOf(session, this.#ttl)).then(() => callback(null), callback);
  }

  destroy(sid, callback = warn) {
    this.#remember(String(sid));
    this.#sessions.ask('destroy', String(sid)).then(() => callback(null), callback);
  }

  /** The oldest is forgotten. */
  #remember(sid) {
    this.#seen.delete(sid);
    this.#seen.add(sid);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value);
  }
}

/** Questions to the library, each with its answer. */
class Questions {
  #native;
  #waiting = new Map();
  #ticket = 0;
  #alive;

  constructor(open) {
    try {
      this.#native = open(() => this.#turn());
    } catch (exception) {
      throw fromException(exception);
    }
    // The end of the process must not cut a question for which no caller waits.
    this.#alive = setInterval(() => undefined, 1 << 30);
    this.#alive.unref();
  }

  ask(what, ...about) {
    this.#ticket = (this.#ticket + 1) % 0xffff_ffff;
    const ticket = this.#ticket;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ticket, { resolve, reject });
      this.#alive.ref();
      this.#native[what](ticket, ...about);
      // The first look has the library call when there is an answer.
      if (this.#waiting.size === 1) this.#turn();
    });
  }

  #turn() {
    for (const { ticket, failure, ...answer } of this.#native.take()) {
      const { resolve, reject } = this.#waiting.get(ticket);
      this.#waiting.delete(ticket);
      if (failure) reject(named(fromLibrary(failure)));
      else resolve(answer);
    }
    if (this.#waiting.size === 0) this.#alive.unref();
  }
}

module.exports = { JoinedSessionStore };
