'use strict';
// Affinity: between two requests a connection is not read before the head of the next one has been looked at. If another process owns that
// request, the connection goes there.

const diagnostics = require('node:diagnostics_channel');
const { isAtRest, isReadable, parsersOf } = require('./drain.js');

class Resting {
  #service;
  #door;
  #underWay;
  /** The sockets that rest, by their descriptors. */
  #sockets = new Map();
  #isOver = false;

  constructor(service, door, underWay) {
    this.#service = service;
    this.#door = door;
    this.#underWay = underWay;
    this.#listen();
  }

  /** Node.js's own channel tells of responses before it has done with them. */
  #listen() {
    diagnostics.subscribe('http.server.response.finish', ({ server, socket }) => {
      if (server !== this.#door.server || this.#isOver) return;
      // Ticks may run before the end of the request has been parsed, although it was read. Nothing more is read before the immediate.
      process.nextTick(() => this.#restIfBetween(socket) || setImmediate(() => this.#restIfBetween(socket)));
    });
  }

  #restIfBetween(socket) {
    if (!isBetween(socket)) return false;
    this.#rest(socket);
    return true;
  }

  /** A new connection. If its head has not come in time, it is still looked at. */
  opened(socket) {
    if (!this.#isOver && !isReadable(this.#service, socket._handle.fd)) this.#rest(socket);
  }

  /** In a drain connections between two requests go to other processes anyway. */
  end() {
    this.#isOver = true;
  }

  #rest(socket) {
    const handle = socket._handle;
    if (this.#isOver || this.#sockets.has(handle.fd)) return;
    // From here on the bytes of the next request stay in the socket.
    handle.readStop();
    if (this.#service.rest(this.#door.index, handle.fd)) this.#sockets.set(handle.fd, socket);
    else handle.readStart();
  }

  /** The connection is closed or leaves. */
  forget(handle) {
    if (this.#sockets.get(handle.fd)?._handle !== handle) return;
    this.#sockets.delete(handle.fd);
    this.#service.forget(this.#door.index, handle.fd);
  }

  /** Clients have sent something. */
  arrived() {
    for (const arrived of this.#service.arrived(this.#door.index)) {
      const isOurs = arrived >= 0;
      const fd = isOurs ? arrived : ~arrived;
      const socket = this.#sockets.get(fd);
      if (socket === undefined) continue;
      if (!isOurs) this.#move(socket);
      else if (this.#sockets.delete(fd)) socket._handle.readStart();
    }
  }

  #move(socket) {
    const handle = socket._handle;
    this.forget(handle);
    const refused = () => this.#door.takeBack(handle);
    if (!this.#underWay.offer(socket, (ticket) => this.#door.move(handle, ticket), refused)) handle.readStart();
  }
}

/** Whether all of a request was read and answered, and nothing of the next one was read. */
function isBetween(socket) {
  return socket._handle?.fd >= 0 && socket.writable && isAtRest(socket) && isParserIdle(socket);
}

/** From Node.js 22 on a parser itself does not say so, but the list of its server's connections does. */
function isParserIdle({ server, parser }) {
  if (!server || !parser) return false;
  return parser.duration ? parser.duration() === 0 : Boolean(parsersOf(server)?.idle().includes(parser));
}

module.exports = { Resting };
