'use strict';
// This process as one of several: the master, or a node. Turns the binding's events into what JavaScript expects.

const { binding, isNode } = require('./binary.js');
const { Door } = require('./door.js');
const { Drain } = require('./drain.js');
const { failure, fromException, fromLibrary } = require('./errors.js');
const { leave } = require('./leave.js');
const { Nodes } = require('./nodes.js');
const options = require('./options.js');
const { peerStream } = require('./peers.js');
const { fromReport } = require('./report.js');
const { Requests } = require('./requests.js');
const signals = require('./signals.js');
const { StatusDiff, exitOf } = require('./status-diff.js');
const { http1Servers, tlsServers } = require('./servers.js');
const { UnderWay } = require('./under-way.js');

/** How often the event loop says that it runs; the library looks twice a second. */
const BEAT = 250;

class Fleet {
  #service;
  #checked;
  #doors;
  #drains = [];
  #declared;
  #requests;
  #tickets = numbers();
  #underWay = new UnderWay(this.#tickets);
  /** Those of each server with TLS. */
  #ticketKeys;
  /** What these servers need; others do not load it. */
  #tls = null;
  #answers = new Map();
  #diff = new StatusDiff();
  #closed = false;
  #ending = false;
  #draining = false;
  /** Once there is something to measure. */
  #meter = null;
  #beat;

  constructor(declared, checked) {
    this.#declared = declared;
    this.#checked = checked;
    this.peers = new Set();
    /** Processes of other machines, by their ids. */
    this.remotes = new Map();
    const further = declared.slice(1).map(({ bind }) => bind);
    const secured = tlsServers(declared);
    if (secured.length > 0) this.#tls = { ...require('./certificates.js'), ...require('./tickets.js') };
    // Nodes get what the master has checked, and may have no right to read the files.
    if (checked.certificates !== undefined && !isNode) this.#tls.checkFiles(secured.map((index) => declared[index].server), checked.certificates);
    this.#ticketKeys = new Map(secured.map((index) => [index, new this.#tls.TicketKeys(declared[index].server, index)]));
    try {
      const given = { ...options.forLibrary(checked), tlsServers: secured, http1: http1Servers(declared) };
      this.#service = new binding.Service(given, further, (woken) => this.#turn(woken === true));
    } catch (exception) {
      throw fromException(exception);
    }
    this.id = this.#service.id;
    this.slot = this.#service.slot ?? null;
    this.#beat = setInterval(() => this.#service.beat(), BEAT);
    this.nodes = new Nodes(this);
    const servers = declared.map(({ server }) => server);
    this.#doors = servers.map((server, index) => new Door(this.#service, index, server, () => this.#live()));
    this.#requests = new Requests(servers, (began, ended, failed) => this.#service.count(began, ended, failed));
    process.once('exit', () => {
      this.#requests.flush();
      // No process takes connections any more.
      for (const { index } of this.#doors) this.#service.close(index);
    });
  }

  /** Who has topics and requests. */
  get bus() {
    return this.#service;
  }

  get #isMaster() {
    return this.id === 'master';
  }

  /** Lets the servers listen, and the library begin. */
  begin() {
    for (const index of this.#ticketKeys.keys()) this.#secure(index);
    this.#declared.forEach(({ server, bind }, index) => this.#attach(this.#doors[index], server, bind ?? this.#bindOfOptions()));
    if (this.#checked.signals) this.#handleSignals();
    this.#warnOfWhatIsOpen();
    this.#live();
    process.nextTick(() => this.nodes.emit('listening'));
    this.#open();
  }

  /** Gives a server with TLS the keys of tickets, and the certificate that the master has read last. */
  #secure(index) {
    this.#ticketKeys.get(index).use(this.#service.ticketKeys(index));
    const certificate = this.#service.certificate(index) ?? null;
    if (certificate !== null) this.#tls.secure(this.#declared[index].server, certificate);
  }

  /** The master has checked a certificate by its own program; that of this process may be another. */
  #secureAgain(index) {
    try {
      this.#secure(index);
    } catch (error) {
      process.emitWarning(`the certificate cannot be used, so the one before stays in force: ${error.message}`, { code: 'MULTI_NODE_CERTIFICATE' });
    }
  }

  #bindOfOptions() {
    const { addresses, bind } = this.#checked;
    return [addresses ?? bind ?? []].flat()[0];
  }

  #warnOfWhatIsOpen() {
    const found = this.#service.beforeListen ?? null;
    if (found === null) return;
    const advice = 'open them after `listen`, where `nodes.isMaster` is false, or say `warnBeforeListen: false`';
    process.emitWarning(`${found}; ${advice}`, { code: 'MULTI_NODE_BEFORE_LISTEN' });
  }

  #attach(door, server, bind) {
    if (this.#isMaster) {
      // The master's server stands for the program: its end is the program's.
      server._connections += 1;
      door.attach(bind, () => this.#service.leave());
    } else {
      door.attach(bind, () => undefined);
      door.allowAgain(bind);
    }
  }

  /** Reports to the library when this event loop can take connections: after the code that called `listen`, and what it waits for. */
  async #open() {
    await new Promise(setImmediate);
    // A process that has not asked for connections gets no call.
    this.#turn();
    for (const [index, { ready }] of this.#declared.entries()) {
      try {
        await ready();
        this.#service.opened(index);
      } catch (error) {
        this.#service.opened(index, error?.stack ?? String(error));
      }
    }
  }

  /**
   * A process of ours lives as long as a listening server would; a master, as long as the program. A node that measures lives
   * until it has sent its last report.
   */
  #live() {
    const tells = this.#draining && this.#meter !== null;
    const lives = !this.#closed && (this.#isMaster || tells || this.#doors.some((door) => door.keepsAlive));
    if (lives) this.#beat.ref();
    else this.#beat.unref();
  }

  /** The library has something: connections first, since they wait. `woken`: it can be nothing else. */
  #turn(woken = false) {
    for (const door of this.#doors) door.turn(woken);
    if (woken) return;
    for (let event = this.#service.nextEvent(); event; event = this.#service.nextEvent()) this.#hear(event);
  }

  #hear(event) {
    switch (event.kind) {
      case 'serving':
        this.#doors[event.server].serve(this.#underWay);
        this.#doors[event.server].turn();
        return;
      case 'certificates':
        return this.#secureAgain(event.server);
      case 'check':
        return this.#service.checked(this.#tls.refusal(this.#declared[event.server].server, event.certificate));
      case 'peer':
        return this.#joined(event);
      case 'joined':
      case 'left':
        return this.#moved(event);
      case 'peerDrains':
        return this.#peerDrains(event.id);
      case 'changed':
        return this.#diff.tell(this.status(), this.nodes);
      case 'exited':
        return this.nodes.emit('exit', exitOf(event));
      case 'draining':
        return this.#drain();
      case 'answered':
        return this.#answered(event);
      case 'given':
        return this.#underWay.ended(event.ticket, event.taken);
      case 'measure':
        return this.#measured();
      case 'closed':
        return this.#close(event.failure && fromLibrary(event.failure));
    }
  }

  #joined(event) {
    const { maxBuffered, slowPeerTimeout } = this.#checked;
    const dropped = () => (this.nodes.dropped += 1);
    const rejoin = () => this.#service.rejoin(event.id);
    const stream = peerStream(event, { maxBuffered, slowPeerTimeout, dropped, rejoin });
    this.peers.add(stream);
    stream.once('close', () => this.peers.delete(stream));
    this.nodes.emit('node', stream);
  }

  /** A process of another machine has joined or left. */
  #moved({ kind, remote, why }) {
    const process = remoteOf(remote);
    if (kind === 'joined') {
      this.remotes.set(process.id, process);
      this.nodes.emit('joined', process);
    } else {
      this.remotes.delete(process.id);
      this.nodes.emit('left', process, why);
    }
  }

  get machine() {
    return this.#service.machine() ?? null;
  }

  machines() {
    const orNull = (process) => ({ ...process, slot: process.slot ?? null });
    return this.#service.machines().map((machine) => ({ ...machine, processes: machine.processes.map(orNull) }));
  }

  remote(id) {
    const remote = this.#service.remote(id) ?? null;
    return remote && remoteOf(remote);
  }

  #peerDrains(id) {
    for (const stream of this.peers) {
      if (stream.id !== id || stream.draining) continue;
      stream.draining = true;
      stream.emit('draining');
    }
  }

  #drain() {
    for (const door of this.#doors) {
      door.endResting();
      const drain = new Drain(this.#service, door, this.#underWay);
      this.#drains.push(drain);
      drain.begin();
    }
    this.#draining = true;
    this.#live();
    this.nodes.emit('drain');
  }

  owns(value) {
    return this.#service.owns(value) ?? null;
  }

  measure(registers) {
    const { Meter } = require('./metrics.js');
    this.#meter ??= new Meter();
    this.#meter.add(registers);
    this.#live();
  }

  async #measured() {
    const refused = this.#service.measured((await this.#meter?.read()) ?? []);
    for (const [name, why] of refused) this.#meter.warn(name, `the metric \`${name}\` is not told: ${why}`);
  }

  status() {
    this.#requests.flush();
    return this.#service.status();
  }

  ready() {
    const ready = this.#ask((ticket) => this.#service.ready(ticket));
    // A node whose program shuts down before all nodes are ready ends with it, and needs no error in its log.
    return this.#isMaster ? ready : ready.catch(() => new Promise(() => undefined));
  }

  /** Gives a command, as the control socket has it, and promises its report. */
  command(name, fields) {
    const wrong = refusalOf(name, fields);
    if (wrong !== null) return Promise.reject(wrong);
    return this.#ask((ticket) => this.#service.command(ticket, JSON.stringify({ command: name, ...fields })));
  }

  #ask(ask) {
    if (this.#closed) return Promise.reject(failure('SHUTTING_DOWN', 'the program has ended'));
    const ticket = this.#tickets.next().value;
    return new Promise((resolve, reject) => {
      this.#answers.set(ticket, { resolve, reject });
      ask(ticket);
    });
  }

  #answered({ ticket, report, failure: failed }) {
    const answer = this.#answers.get(ticket);
    this.#answers.delete(ticket);
    if (failed) answer?.reject(fromLibrary(failed));
    else answer?.resolve(fromReport(JSON.parse(report)));
  }

  #handleSignals() {
    if (!this.#isMaster) return signals.handleInNode({ leave: () => this.#service.leave() });
    const command = (name, fields) => this.command(name, fields).catch((error) => this.nodes.emit('commandFailed', error));
    signals.handleInMaster({
      shutDown: () => this.#endBy(command, false),
      shutDownNow: () => this.#endBy(command, true),
      reload: () => command('reload'),
      upgrade: () => command('upgrade'),
    });
  }

  /** A signal that ends the program ends this process too, whatever else it may be waiting for. */
  #endBy(command, now) {
    this.#ending = true;
    command('stop', { now });
  }

  /** This process's service is over. */
  #close(error) {
    this.#closed = true;
    this.#requests.end();
    for (const drain of this.#drains) drain.end();
    for (const { reject } of this.#answers.values()) reject(error ?? failure('SHUTTING_DOWN', 'the program has ended'));
    this.#answers.clear();
    if (this.#isMaster) this.#letServersClose();
    this.#live();
    clearInterval(this.#beat);
    this.nodes.emit('close');
    // A node has nothing left to do; what its program still waits for, such as connections to a database, must not hold up a reload.
    if (!this.#isMaster || (this.#ending && !error)) leave();
    else if (error) this.nodes.emit('error', error);
  }

  #letServersClose() {
    for (const { server } of this.#doors) {
      server._connections -= 1;
      if (server.listening) server.close();
      else server._emitCloseIfDrained();
    }
  }
}

/** A process of another machine, which shows as people know it: `alpha/2#9c41d2e0.7`. */
function remoteOf({ id, process, machine, slot }) {
  return { id, process, machine, slot: slot ?? null, toString: () => process };
}

/** What is no number that the binding could be given. */
function refusalOf(command, fields) {
  const wrong = (code, message) => failure(code, `${message}: expected a whole number, ${command === 'scale' ? 1 : 0} or more`, RangeError);
  if (command === 'scale' && !isWhole(fields.nodes, 1, 0xffff_ffff)) return wrong('OUT_OF_RANGE', `cannot scale to ${fields.nodes} nodes`);
  if (command === 'restart' && !isWhole(fields.slot, 0, 0xffff)) return wrong('NO_SUCH_SLOT', `there is no slot ${fields.slot}`);
  return null;
}

function isWhole(number, lowest, highest) {
  return Number.isInteger(number) && number >= lowest && number <= highest;
}

function* numbers() {
  for (let number = 1; ; number = (number % 0xffff_fffe) + 1) yield number;
}

module.exports = { Fleet };
