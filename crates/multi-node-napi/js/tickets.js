'use strict';
// TLS: a client that comes back resumes its session at whichever node it reaches, since all have the same keys of tickets: the current one,
// and the one before it, whose tickets are taken too.

/** What `setTicketKeys` takes: three parts of 16 bytes. */
const LENGTH = 48;
const PART = 16;

/** Answers about a ticket: its key is gone; it is good; it is good, and OpenSSL makes one of the current key in its place. */
const UNKNOWN = 0;
const GOOD = 1;
const RENEW = 2;

/** The keys of the tickets of one server with TLS. One that was given keys of its own keeps those. */
class TicketKeys {
  #server;
  #index;
  #setTicketKeys;
  #isOwn;
  #keys = [];
  // A server with TLS has loaded it already; a node without starts sooner.
  #crypto = require('node:crypto');

  constructor(server, index) {
    const { setSecureContext, setTicketKeys, ticketKeys } = server;
    this.#server = server;
    this.#index = index;
    this.#setTicketKeys = setTicketKeys;
    this.#isOwn = ticketKeys !== undefined;
    server.setTicketKeys = (keys) => this.#useOwn(keys);
    server.setSecureContext = (options) => {
      setSecureContext.call(server, options);
      this.#share();
    };
  }

  /** The keys of the program: the first seals, and all open. */
  use(keys) {
    if (this.#isOwn) return;
    const info = `multi-node: TLS session tickets of server ${this.#index}`;
    this.#keys = keys.map((key) => parts(Buffer.from(this.#crypto.hkdfSync('sha256', key, '', info, LENGTH))));
    this.#share();
  }

  #useOwn(keys) {
    this.#setTicketKeys.call(this.#server, keys);
    this.#isOwn = true;
    this.#keys = [parts(Buffer.from(keys))];
  }

  /** Each certificate has a context of its own, which knows no keys yet. */
  #share() {
    const [current] = this.#keys;
    if (current === undefined) return;
    this.#setTicketKeys.call(this.#server, current.all);
    // `setTicketKeys` takes one key. This way, which Node.js has for its own tests, there may be several; in a version without it clients
    // with a ticket of the key before make a full handshake.
    const context = this.#server._sharedCreds?.context;
    if (typeof context?.enableTicketKeyCallback !== 'function') return;
    context.onticketkeycallback = (name, _, seals) => this.#keyFor(name, seals);
    context.enableTicketKeyCallback();
  }

  /** What OpenSSL asks for each ticket that it makes or gets. */
  #keyFor(name, seals) {
    const [current] = this.#keys;
    if (seals) return [GOOD, current.hmac, current.aes, current.name, this.#crypto.randomBytes(PART)];
    const known = this.#keys.find((key) => key.name.equals(name));
    // Node.js wants keys with each answer.
    if (known === undefined) return [UNKNOWN, current.hmac, current.aes];
    return [known === current ? GOOD : RENEW, known.hmac, known.aes];
  }
}

/** As OpenSSL divides them. */
function parts(all) {
  return { all, name: all.subarray(0, PART), hmac: all.subarray(PART, 2 * PART), aes: all.subarray(2 * PART) };
}

module.exports = { TicketKeys };
