'use strict';
// A server's listening handle, as `server.listen` would have made it, but for where its connections come from.
//
// Node's own code makes the sockets, with the server's own settings, and counts and closes them: like node:cluster, this gives the
// server a handle that has `listen`, `close`, `ref`, `unref` and `getsockname`, and calls its `onconnection`.

const net = require('node:net');

const NONE_NOW = -1;

/** The classes of handles for TCP connections and Unix sockets: they are those of sockets that never connect. */
function handleClass(options) {
  const socket = new net.Socket();
  socket.on('error', () => undefined);
  socket.connect(options);
  const { constructor } = socket._handle;
  socket.destroy();
  return constructor;
}

/** A handle that gives back its connection's place in the counts when it closes its descriptor. */
function counted(Base, service) {
  return class extends Base {
    counted = true;
    close(callback) {
      if (this.counted) {
        this.counted = false;
        service.release();
      }
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

  /** `onChange` is called whenever the door begins or ends to keep the process alive. */
  constructor(service, index, server, onChange) {
    this.#service = service;
    this.#onChange = onChange;
    this.index = index;
    this.server = server;
    /** The sockets of all open connections. */
    this.sockets = new Set();
  }

  /** Whether the process should live on for it. */
  get keepsAlive() {
    return this.#handle !== null && this.#refed;
  }

  /** Lets the server listen: "listening" follows, as after `server.listen`. `closing` is called when it is closed. */
  attach(bind, closing) {
    this.#closing = closing;
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
  serve() {
    const local = this.#service.addresses(this.index)[0];
    const Base = handleClass(local === 'unix' ? { path: '\0multi-node' } : { host: '127.0.0.1', port: 1 });
    this.#Connection = counted(Base, this.#service);
    this.server.prependListener('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    this.#serves = true;
  }

  /** Takes what there is. */
  turn() {
    while (this.#serves) {
      const fd = this.#service.take(this.index);
      if (fd < 0) {
        if (fd !== NONE_NOW) this.#serves = false;
        return;
      }
      this.#connect(fd);
    }
  }

  #connect(fd) {
    const connection = new this.#Connection(0);
    if (connection.open(fd) !== 0 || this.#handle === null) {
      connection.close();
      return;
    }
    this.#handle.onconnection(0, connection);
  }

  #keep(refed) {
    this.#refed = refed;
    this.#onChange();
  }

  /** `server.close()`: leaves the queue; what is open goes on. */
  #close(callback) {
    this.#serves = false;
    this.#handle = null;
    this.#service.withdraw(this.index);
    this.#onChange();
    this.#closing();
    if (typeof callback === 'function') process.nextTick(callback);
  }
}

/** `1.2.3.4:80` or `[::1]:80`, as `server.address()` gives it. */
function parse(text) {
  const colon = text.lastIndexOf(':');
  const address = text.slice(0, colon).replace(/^\[|\]$/g, '');
  return { address, family: address.includes(':') ? 'IPv6' : 'IPv4', port: Number(text.slice(colon + 1)) };
}

module.exports = { Door };
