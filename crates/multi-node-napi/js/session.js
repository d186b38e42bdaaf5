'use strict';
// A store of sessions that all processes of the program share, for express-session and @fastify/session.

const { binding, why, isNode } = require('./binary.js');
const { failure, fromException, fromLibrary } = require('./errors.js');
const { baseClass, check, count, DAY, expiryOf, named, ttl, warn } = require('./session-store.js');
const { argumentsOf } = require('./store.js');

/** How often one asks again while another process recovers the database after a crash, and for how long. */
const RECOVERY = { pause: 5, limit: 2000 };

const OPTIONS = {
  path: { is: (value) => typeof value === 'string' && value !== '', what: 'a directory that this user alone can write to' },
  ttl,
  maxBytes: count,
  maxSessionBytes: count,
  busyTimeout: count,
};

class SessionStore extends baseClass() {
  #options;
  #opened = null;
  #tickets = 0;
  #waiting = new Map();
  #alive;

  /** `nodes` is what `listen` returned; where the store is made before that, it is left out. */
  constructor(nodes, options) {
    super();
    this.#options = { ttl: DAY, ...check(argumentsOf(nodes, options).options, 'SessionStore', OPTIONS) };
    if (binding === null) throw failure('NO_BINARY', `sessions cannot be shared: ${why}`);
    // The end of the process must not cut a write for which no caller waits.
    this.#alive = setInterval(() => undefined, 1 << 30);
    this.#alive.unref();
    // A problem with the file shows at the start, and not at the first request.
    if (isNode) this.#open().catch((error) => process.emitWarning(error));
  }

  get(sid, callback) {
    this.#load(sid, Date.now() + RECOVERY.limit).then((session) => callback(null, session), callback);
  }

  /** A session that was destroyed within the last ten minutes stays destroyed, even if a request still has it. */
  set(sid, session, callback = warn) {
    let text;
    try {
      text = JSON.stringify(session);
    } catch (error) {
      process.nextTick(callback, error);
      return;
    }
    const expiry = expiryOf(session, this.#options.ttl);
    this.#write((database, ticket) => database.put(ticket, String(sid), expiry, text), callback);
  }

  /** Written at most once a minute, for sessions that are kept for ten minutes or more. */
  touch(sid, session, callback) {
    const expiry = expiryOf(session, this.#options.ttl);
    this.#write((database, ticket) => database.touch(ticket, String(sid), expiry), callback);
  }

  destroy(sid, callback) {
    this.#write((database, ticket) => database.revoke(ticket, String(sid)), callback);
  }

  clear(callback) {
    this.#write((database, ticket) => database.clear(ticket), callback);
  }

  length(callback) {
    this.#ask((database) => database.count()).then((length) => callback(null, length), callback);
  }

  all(callback) {
    this.#all().then((sessions) => callback(null, sessions), callback);
  }

  async #load(sid, end) {
    const loaded = await this.#ask((database) => database.load(String(sid)));
    if (loaded !== true) return loaded === null ? null : JSON.parse(loaded);
    if (Date.now() > end) throw failure('SESSIONS_BUSY', 'sessions: another process recovers the database; end or resume it');
    await new Promise((resolve) => setTimeout(resolve, RECOVERY.pause));
    return this.#load(sid, end);
  }

  async #all() {
    const sessions = [];
    let after;
    do {
      const page = await this.#ask((database) => database.list(after));
      for (const { id, data } of page.sessions) sessions.push({ ...JSON.parse(data), id });
      after = page.next;
    } while (typeof after === 'number');
    return sessions;
  }

  async #ask(question) {
    const database = await this.#open();
    try {
      return await question(database);
    } catch (exception) {
      throw named(fromException(exception));
    }
  }

  #write(begin, callback = warn) {
    this.#ask((database) => {
      const ticket = this.#nextTicket();
      begin(database, ticket);
      this.#waiting.set(ticket, callback);
      this.#alive.ref();
    }).catch(callback);
  }

  #nextTicket() {
    this.#tickets = (this.#tickets + 1) % 0xffff_ffff;
    return this.#tickets;
  }

  /** Opens the store once. If that fails, the caller gets the error, and the next call tries again. */
  #open() {
    this.#opened ??= this.#begin().catch((error) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  async #begin() {
    const { path, maxBytes, maxSessionBytes, busyTimeout } = this.#options;
    let database;
    try {
      database = await binding.openSessions({ path, maxBytes, maxSessionBytes, busyTimeout });
    } catch (exception) {
      throw named(fromException(exception));
    }
    database.attach(() => this.#finish(database));
    if (!isNode && path === undefined) process.once('exit', () => binding.removeSessions());
    return database;
  }

  #finish(database) {
    for (const { ticket, failure: failed } of database.finished()) {
      const callback = this.#waiting.get(ticket);
      this.#waiting.delete(ticket);
      if (failed) callback(named(fromLibrary(failed)));
      else callback(null);
    }
    if (this.#waiting.size === 0) this.#alive.unref();
  }
}

module.exports = { SessionStore };
