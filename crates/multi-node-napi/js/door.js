'use strict';
// A server's listening handle, as `server.listen` would have made it, but for where its connections come from.
//
// Node's own code makes the sockets, with the server's own settings, and counts and closes them: like node:cluster, this gives the
// server a handle that has `listen`, `close`, `ref`, `unref` and `getsockname`, and calls its `onconnection`.

const net = require('node:net');

/** The most connections that are taken at once. */
const AT_ONCE = 16;

/** The classes of handles for TCP connections and Unix sockets: they are those of sockets that never connect. */
function handleClass(options) {
  const socket = new net.Socket();
  socket.on('error', () => undefined);
  socket.connect(options);
  const { constructor } = socket._handle;
  socket.destroy();
  return constructor;
}

/** Handles of connections that notify the door when they close their descriptor. */
function connectionClass(Base, door) {
  return class extends Base {
    close(callback) {
      door.closes(this);
      return super.close(callback);
    }
  };
}

class Door {
  #service;
  #onChange;
  #Connection = null;
  #serves = false;
  #handle = null;
  #refed = true;
  #closing = () => undefined;
  #fds = new Int32Array(AT_ONCE);
  #connections = new Set();
  #resting = null;
  /** Connections that were closed and are still counted. */
  #released = 0;

  /** `onChange` is called whenever the door begins or ends to keep the process alive. */
  constructor(service, index, server, onChange) {
    this.#service = service;
    this.#onChange = onChange;
    this.index = index;
    this.server = server;
    this.sessions = sessionsOf(server);
  }

  /** The sockets of all open connections. */
  get sockets() {
    return [...this.#connections].map(socketOf).filter(Boolean);
  }

  /** Whether the process should live on for it. */
  get keepsAlive() {
    return this.#handle !== null && this.#refed;
  }

  /** Lets the server listen: "listening" follows, as after `server.listen`. `closing` is called when it is closed. */
  attach(bind, closing) {
    this.#closing = closing;
    this.#listen(bind);
  }

  /** Lets a server listen again that the program has closed: by its own `listen`, at the address that it had. */
  allowAgain(bind) {
    const { server } = this;
    const listen = server.listen;
    server.listen = (...args) => {
      if (server._handle !== null || !this.#asksForOwn(args)) return listen.apply(server, args);
      const callback = args.at(-1);
      if (typeof callback === 'function') server.once('listening', callback);
      this.#listen(bind);
      this.#service.reopen(this.index);
      this.#serves = this.#Connection !== null;
      setImmediate(() => this.turn());
      return server;
    };
  }

  /** Whether `listen` is asked for the address that is served anyway. */
  #asksForOwn([first]) {
    const { port, path } = typeof first === 'object' && first !== null ? first : { port: first, path: first };
    const [address] = this.#service.addresses(this.index);
    if (address === 'unix') return path === this.server._pipeName;
    return Number(port ?? 0) === 0 || Number(port) === parse(address).port;
  }

  #listen(bind) {
    const [address] = this.#service.addresses(this.index);
    const local = address === 'unix' ? null : parse(address);
    this.#handle = this.#listeningHandle(local);
    const { server } = this;
    server._handle = this.#handle;
    if (local === null) {
      server._pipeName = bind?.replace(/^unix:/, '');
      server._listen2(server._pipeName, -1, -1);
    } else {
      server._listen2(local.address, local.port, local.family === 'IPv6' ? 6 : 4);
    }
    this.#onChange();
  }

  #listeningHandle(local) {
    const handle = {
      listen: () => 0,
      close: (callback) => this.#close(callback),
      ref: () => this.#keep(true),
      unref: () => this.#keep(false),
      hasRef: () => this.#refed,
    };
    if (local !== null) {
      handle.getsockname = (out) => {
        Object.assign(out, local);
        return 0;
      };
    }
    return handle;
  }

  /** From now on connections can be taken. */
  serve(underWay) {
    const local = this.#service.addresses(this.index)[0];
    const Base = handleClass(local === 'unix' ? { path: '\0multi-node' } : { host: '127.0.0.1', port: 1 });
    this.#Connection = connectionClass(Base, this);
    this.#service.setIdleTimeout(this.index, this.server.keepAliveTimeout ?? 0);
    this.#watchResting(underWay);
    this.#serves = true;
  }

  /** Only where requests have owners. */
  #watchResting(underWay) {
    if (!this.#service.watchResting(this.index, () => this.#resting.arrived())) return;
    const { Resting } = require('./resting.js');
    this.#resting = new Resting(this.#service, this, underWay);
  }

  /** Takes what there is. `woken`: the event loop has found that a connection waits. */
  turn(woken = false) {
    for (let count = AT_ONCE; this.#serves && count === AT_ONCE; woken = false) {
      count = this.#service.take(this.index, this.#fds, woken);
      // Code that closes the server still gets the connections that were taken together with the one that it handles.
      this.#connectAll(this.#handle, this.#fds, count);
    }
  }

  #connectAll(handle, fds, count) {
    let index = 0;
    let thrown = true;
    try {
      while (index < count) this.#connect(handle, fds[index++]);
      thrown = false;
    } finally {
      // By a listener of the program. The others are served all the same.
      if (thrown) this.#goOn(handle, fds.slice(index, count));
    }
  }

  #goOn(handle, fds) {
    setImmediate(() => {
      this.#connectAll(handle, fds, fds.length);
      this.turn();
    });
  }

  #connect(handle, fd) {
    const connection = new this.#Connection(0);
    this.#connections.add(connection);
    if (connection.open(fd) !== 0) return connection.close();
    handle.onconnection(0, connection);
    const socket = this.#resting && socketOf(connection);
    if (socket?._handle) this.#resting.opened(socket);
  }

  /** A connection's descriptor is closed, here or, where it was given, for this process alone. */
  closes(connection) {
    this.#resting?.forget(connection);
    if (!this.#connections.delete(connection)) return;
    // Each call of the binding has its price, and many connections may end in one turn of the event loop.
    if (this.#released === 0) setImmediate(() => this.#release());
    this.#released += 1;
  }

  #release() {
    this.#service.release(this.#released);
    this.#released = 0;
  }

  /** Passes a connection on. Its place in the counts goes along, and comes back if no process takes it. */
  give(socket, ticket) {
    const handle = socket._handle;
    this.#resting?.forget(handle);
    // From here on the bytes of the next request stay in the socket, for the next reader.
    handle.readStop();
    if (this.#service.give(this.index, handle.fd, ticket)) this.#connections.delete(handle);
    else handle.readStart();
    return !this.#connections.has(handle);
  }

  /** As `give`, for a connection that rests, to the owner of its next request. */
  move(handle, ticket) {
    return this.#service.moveOn(this.index, handle.fd, ticket) && this.#connections.delete(handle);
  }

  /** The drain begins. */
  endResting() {
    this.#resting?.end();
  }

  /** No process took it. */
  takeBack(handle) {
    this.#connections.add(handle);
    // Its client may have gone while it was offered, and then it was closed without being counted here.
    if (handle.fd < 0) this.closes(handle);
    else handle.readStart();
  }

  #keep(refed) {
    this.#refed = refed;
    this.#onChange();
  }

  /** `server.close()`: leaves the queue; open connections continue. */
  #close(callback) {
    this.#serves = false;
    this.#handle = null;
    this.#service.close(this.index);
    this.#onChange();
    this.#closing();
    if (typeof callback === 'function') process.nextTick(callback);
  }
}

/** The open sessions of an HTTP/2 server; of another, none. */
function sessionsOf(server) {
  const sessions = new Set();
  if (typeof server.updateSettings !== 'function') return sessions;
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  return sessions;
}

/** Node's own link from a handle to its socket. */
function socketOf(handle) {
  const symbol = Object.getOwnPropertySymbols(handle).find(({ description }) => description === 'owner_symbol');
  const owner = symbol && handle[symbol];
  return owner instanceof net.Socket ? owner : null;
}

/** `1.2.3.4:80` or `[::1]:80`, as `server.address()` gives it. */
function parse(text) {
  const colon = text.lastIndexOf(':');
  const address = text.slice(0, colon).replace(/^\[|\]$/g, '');
  return { address, family: address.includes(':') ? 'IPv6' : 'IPv4', port: Number(text.slice(colon + 1)) };
}

module.exports = { Door, sessionsOf };
