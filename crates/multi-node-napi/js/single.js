'use strict';
// Single-process mode: the same API, served by the process that called `listen`, without the binding.

const fs = require('node:fs');
const net = require('node:net');
const { sessionsOf } = require('./door.js');
const { Drain } = require('./drain.js');
const { failure } = require('./errors.js');
const { leave } = require('./leave.js');
const { LocalBus } = require('./local-bus.js');
const { Nodes } = require('./nodes.js');
const { Requests } = require('./requests.js');
const signals = require('./signals.js');
const { UnderWay } = require('./under-way.js');

/** No process takes connections over, and the reader of a socket reads what has come. */
const NOBODY = { gives: () => false, give: () => false, isReadable: () => false };

const DEFAULTS = { port: 80, host: '0.0.0.0', unixMode: 0o666, backlog: 4096, drainTimeout: 30_000, shutdownDelay: 0 };

class Single {
  id = 'master';
  slot = null;
  peers = new Set();
  bus;
  #checked;
  #declared;
  #requests;
  #listeners = [];
  #state = 'initializing';
  #since = Date.now();
  #drains = [];
  #closed = deferred();
  #ready = deferred();

  constructor(declared, checked) {
    this.#declared = declared;
    this.#checked = { ...DEFAULTS, ...checked };
    this.bus = new LocalBus(this.id, checked);
    this.nodes = new Nodes(this);
    this.#requests = new Requests(declared.map(({ server }) => server));
    // Callers of `ready` get the error. Without callers the error must not count as unhandled.
    this.#ready.promise.catch(() => undefined);
  }

  async begin() {
    if (this.#checked.signals) this.#handleSignals();
    const doors = this.#declared.map((entry, index) => this.#open(entry, index));
    try {
      await Promise.all(doors);
    } catch (error) {
      this.#ready.reject(error);
      for (const server of this.#servers()) if (server.listening) server.close();
      const heard = this.#declared.some(({ server }) => server.listenerCount('error') > 0);
      if (!heard) this.nodes.emit('error', error);
      return;
    }
    this.#become('serving');
    this.#ready.resolve();
    this.nodes.emit('listening');
    this.nodes.emit('ready');
  }

  async #open({ server, ready, bind }, index) {
    await ready();
    const { port, host, unixMode, backlog, addresses: only, bind: more = [] } = this.#checked;
    const sockets = new Set();
    server.prependListener('connection', (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    this.#drains.push(new Drain(NOBODY, { index, server, sockets, sessions: sessionsOf(server) }, new UnderWay()));
    const own = only ? [only].flat().map(parse) : [{ port, host }];
    const addresses = bind ? [parse(bind)] : [...own, ...[more].flat().map(parse)];
    const [first, ...rest] = addresses;
    await listening(server, { ...first, backlog }, unixMode);
    for (const address of rest) {
      const further = net.createServer({ pauseOnConnect: server.pauseOnConnect }, (socket) => server.emit('connection', socket));
      this.#listeners.push(further);
      await listening(further, { ...address, backlog }, unixMode);
    }
  }

  #servers() {
    return [...this.#declared.map(({ server }) => server), ...this.#listeners];
  }

  #become(state) {
    this.#state = state;
    this.#since = Date.now();
  }

  #handleSignals() {
    const end = () => this.command('stop').then(leave);
    signals.handleInMaster({
      shutDown: end,
      shutDownNow: () => process.exit(),
      reload: () => this.nodes.emit('commandFailed', single('reload')),
      upgrade: () => this.nodes.emit('commandFailed', single('upgrade')),
    });
  }

  ready() {
    return this.#state === 'draining' ? Promise.reject(shuttingDown()) : this.#ready.promise;
  }

  command(name) {
    if (name !== 'stop') return Promise.reject(single(name));
    if (this.#state !== 'draining') this.#shutDown();
    return this.#closed.promise;
  }

  owns() {
    return true;
  }

  /** There is no master to report to. */
  measure() {}

  async #shutDown() {
    const { shutdownDelay, drainTimeout } = this.#checked;
    this.#become('draining');
    if (shutdownDelay > 0) await new Promise((resolve) => setTimeout(resolve, shutdownDelay));
    const ends = this.#servers().map((server) => new Promise((resolve) => server.close(resolve)));
    for (const drain of this.#drains) drain.begin();
    const jobs = this.bus.drain();
    this.nodes.emit('drain');
    const end = () => this.#drains.forEach((drain) => drain.end());
    const over = deferred();
    const deadline = setTimeout(() => over.resolve(end()), drainTimeout);
    await Promise.all([...ends, Promise.race([jobs, over.promise])]);
    clearTimeout(deadline);
    end();
    this.nodes.emit('close');
    this.#closed.resolve();
  }

  status() {
    const slot = {
      slot: 0,
      id: this.id,
      pid: process.pid,
      state: this.#state,
      since: this.#since,
      generation: 0,
      restarts: 0,
      connections: this.#declared.reduce((sum, { server }) => sum + server._connections, 0),
      requests: this.#requests.began,
      inFlight: this.#requests.inFlight,
    };
    return { ready: this.#state === 'serving', wanted: 1, slots: [slot] };
  }
}

function shuttingDown() {
  return failure('SHUTTING_DOWN', 'the program shuts down');
}

function single(command) {
  return failure('SINGLE_PROCESS', `cannot ${command}: the program runs as a single process, which has no nodes to command about`);
}

function listening(server, address, unixMode) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      if (address.path) fs.chmodSync(address.path, unixMode);
      resolve();
    });
  });
}

/** The forms that the option `bind` takes. */
function parse(text) {
  if (text.startsWith('unix:')) return { path: text.slice('unix:'.length) };
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host: host || '0.0.0.0', port: Number(text.slice(colon + 1)) };
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

module.exports = { Single };
