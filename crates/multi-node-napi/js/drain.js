'use strict';
// A node's last connections: those that are idle go to another node, or are closed when no request can be in between; the others
// are answered first.

/** How often connections are looked at beside the moments at which one has been answered. */
const EVERY = 50;

/** Node's own record of an HTTP server's connections, which knows what its parser has begun to read. Deno has none. */
function parsersOf(server) {
  const symbol = Object.getOwnPropertySymbols(server).find(({ description }) => description === 'http.server.connections');
  return typeof server[symbol]?.idle === 'function' ? server[symbol] : null;
}

class Drain {
  #service;
  #door;
  #underWay;
  #timer = null;
  #due = false;
  /** Sockets that no process took. */
  #unwanted = new WeakSet();

  constructor(service, door, underWay) {
    this.#service = service;
    this.#door = door;
    this.#underWay = underWay;
  }

  begin() {
    const { server, sockets, sessions } = this.#door;
    // HTTP/2 has a word of its own: GOAWAY, after which streams that have begun are finished.
    for (const session of sessions) session.close();
    server.prependListener('request', (_, response) => this.#answering(response));
    for (const socket of sockets) {
      if (socket._httpMessage) this.#answering(socket._httpMessage);
    }
    this.#timer = setInterval(() => this.#sweep(), EVERY);
    this.#timer.unref();
    this.#sweep();
  }

  /** The time is over. */
  end() {
    clearInterval(this.#timer);
    for (const socket of this.#door.sockets) socket.destroy();
  }

  get #gives() {
    return this.#service.gives(this.#door.index);
  }

  /** Marks a response as the last one if its connection cannot continue elsewhere. */
  #answering(response) {
    // Those of HTTP/2 know no `shouldKeepAlive`.
    const { socket } = response;
    const stays = !this.#gives || socket?.encrypted || this.#unwanted.has(socket);
    if (stays && !response.headersSent && response.shouldKeepAlive) response.shouldKeepAlive = false;
    response.once('close', () => this.#sweepSoon());
  }

  #sweepSoon() {
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => this.#sweep());
  }

  #sweep() {
    this.#due = false;
    for (const socket of this.#idle()) this.#dismiss(socket);
  }

  /** Connections between two requests: nothing is being answered, and nothing was read of the next request. */
  #idle() {
    const { server, sockets } = this.#door;
    const parsers = parsersOf(server);
    if (parsers === null) return [];
    const idle = parsers.idle().map(({ socket }) => socket);
    const untouched = [...sockets].filter((socket) => !socket.encrypted && socket.bytesRead === 0 && !server.secureContext);
    return [...idle, ...untouched].filter((socket) => socket && !socket.destroyed && isAtRest(socket));
  }

  #dismiss(socket) {
    if (socket._handle === null || this.#underWay.has(socket)) return;
    if (socket.encrypted) {
      // It cannot be handed off. If the program goes on, its client's next request is answered, with a header that it is the
      // last. Node.js's own timeout of idle connections applies.
      if (!this.#gives) this.#close(socket);
    } else if (!this.#gives || this.#unwanted.has(socket)) {
      this.#close(socket);
    } else {
      this.#give(socket);
    }
  }

  /** Closes a connection without unread bytes: a request that has come is answered. */
  #close(socket) {
    const { fd } = socket._parent?._handle ?? socket._handle;
    if (!isReadable(this.#service, fd)) socket.destroy();
  }

  #give(socket) {
    const handle = socket._handle;
    const refused = () => {
      this.#unwanted.add(socket);
      this.#door.takeBack(handle);
      this.#sweepSoon();
    };
    this.#underWay.offer(socket, (ticket) => this.#door.give(socket, ticket), refused);
  }
}

/** Whether all that was written has been sent. */
function isAtRest(socket) {
  const message = socket._httpMessage;
  return (!message || message.finished) && socket.writableLength === 0 && !(socket._handle?.writeQueueSize > 0);
}

/** Whether bytes, the end or an error wait to be read. */
function isReadable(service, fd) {
  try {
    return service.isReadable(fd);
  } catch {
    // Its client has reset it, and the reader finds the same error or the end.
    return true;
  }
}

module.exports = { Drain, isAtRest, isReadable, parsersOf };
