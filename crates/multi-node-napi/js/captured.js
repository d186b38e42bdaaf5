'use strict';
// Servers on which a module calls `listen` under the command `multi-node`. The call is put off, and several processes serve
// them at the requested addresses.

const net = require('node:net');
const { failure } = require('./errors.js');

class Captured {
  #calls = [];
  #over;
  #native = net.Server.prototype.listen;

  /** Puts off what comes until `over()` is true. `onFirst` is called in the turn after the first. */
  constructor(over, onFirst) {
    this.#over = over;
    const captured = this;
    net.Server.prototype.listen = function (...args) {
      if (captured.#over()) return captured.#native.apply(this, args);
      if (captured.#calls.length === 0) setImmediate(onFirst);
      captured.#calls.push({ server: this, args });
      return this;
    };
  }

  get isEmpty() {
    return this.#calls.length === 0;
  }

  /** Lets them listen as they would have. */
  release() {
    for (const { server, args } of this.#calls.splice(0)) this.#native.apply(server, args);
  }

  /** What `listen` of this package takes: options and servers. `placed`: the first has its address from elsewhere. */
  take(placed) {
    const calls = this.#calls.splice(0);
    for (const { server, args } of calls) {
      const listener = args.findLast((arg) => typeof arg === 'function');
      if (listener !== undefined) server.once('listening', listener);
    }
    const [first, ...more] = calls.map(({ server, args }) => ({ server, ...addressOf(args) }));
    const further = more.map(({ server, path, ...rest }) => (path === undefined ? { server, ...rest } : refuse(path)));
    return { options: placed ? {} : optionsOf(first), servers: [first.server, ...further] };
  }
}

function optionsOf({ path, port, host }) {
  return path === undefined ? { port, host } : { addresses: `unix:${path}` };
}

/** Where a server asked to listen, by the forms that `server.listen` has. */
function addressOf([first, second]) {
  if (first !== null && typeof first === 'object') {
    if (first.fd !== undefined || first._handle !== undefined) refuse('a descriptor');
    const { path, port, host } = first;
    return path === undefined ? { port: Number(port ?? 0), host } : { path };
  }
  if (typeof first === 'string' && !/^\d+$/.test(first)) return { path: first };
  const port = typeof first === 'function' ? 0 : Number(first ?? 0);
  return { port, host: typeof second === 'string' ? second : undefined };
}

function refuse(what) {
  throw failure('SERVER', `a server that listens on ${what} cannot be served by several processes here; give it to \`listen\` of this package`, TypeError);
}

module.exports = { Captured };
