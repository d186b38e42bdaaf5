'use strict';
// How many HTTP requests have begun, have ended, and were answered by a server error.

const diagnostics = require('node:diagnostics_channel');

/** Milliseconds until new counts are reported. */
const DELAY = 20;

class Requests {
  began = 0;
  ended = 0;
  failed = 0;
  #servers = new Set();
  #told = { began: 0, ended: 0, failed: 0 };
  #tell;
  #waits = false;
  #over = false;

  /** `tell` is called with what is new, after a while and not for each request. */
  constructor(servers, tell = null) {
    this.#tell = tell;
    for (const server of servers) this.#watch(server);
    if (this.#servers.size > 0) this.#listen();
  }

  get inFlight() {
    return this.began - this.ended;
  }

  /** Reports new counts now. */
  flush() {
    const { began, ended, failed } = this;
    const told = this.#told;
    this.#told = { began, ended, failed };
    this.#tell?.(began - told.began, ended - told.ended, failed - told.failed);
  }

  /** Requests that end from here on were cut. */
  end() {
    this.flush();
    this.#over = true;
  }

  #watch(server) {
    // HTTP/2; a request that comes by HTTP/1 to such a server is one of those below.
    if (typeof server.updateSettings === 'function') {
      server.on('session', (session) => session.on('stream', (stream) => this.#count(stream, statusOfStream)));
    }
    this.#servers.add(server);
  }

  /** Node.js's own channel has events of all its HTTP/1 servers, before any of their listeners is called. */
  #listen() {
    diagnostics.subscribe('http.server.request.start', ({ server, response }) => {
      if (this.#servers.has(server)) this.#count(response, statusOfResponse);
    });
  }

  #count(exchange, statusOf) {
    this.began += 1;
    this.#changed();
    exchange.on('close', () => {
      if (this.#over) return;
      this.ended += 1;
      if (statusOf(exchange) >= 500) this.failed += 1;
      this.#changed();
    });
  }

  #changed() {
    if (this.#waits || this.#tell === null) return;
    this.#waits = true;
    setTimeout(() => {
      this.#waits = false;
      this.flush();
    }, DELAY).unref();
  }
}

function statusOfResponse(response) {
  return response.headersSent ? response.statusCode : 0;
}

function statusOfStream(stream) {
  return stream.sentHeaders?.[':status'] ?? 0;
}

module.exports = { Requests };
