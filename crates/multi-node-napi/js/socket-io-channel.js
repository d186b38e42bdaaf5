'use strict';
// What the socket.io servers of all processes say to each other: one topic for all, in the order of each publisher, and one for the
// answers to each process.

const { Clients } = require('./socket-io-clients.js');
const { Recovery } = require('./socket-io-recovery.js');

/** How long an answer is offered to a process that has no room, and how often, in milliseconds. */
const OFFER = { longest: 5000, pause: 10 };

/** Types of our own, beside those of socket.io. */
const TYPE = { absent: 'absent', count: 'count', session: 'session', restored: 'restored', find: 'find', found: 'found', clients: 'clients' };

class Channel {
  #nodes;
  #name;
  #all;
  #own;
  #to = new Map();
  #adapters = new Map();
  #pending = new Map();
  #requests = 0;
  #warned = new Set();
  /** The other processes that take part. */
  members = new Set();
  /** When one came or went. */
  changedAt = Date.now();
  /** What clients missed, and where they are; null without connection state recovery. */
  recovery = null;
  clients = null;

  constructor(nodes, { name, history, maxSessions }, recovery) {
    this.#nodes = nodes;
    this.#name = name;
    const recovers = recovery ? { history } : {};
    if (recovery) {
      this.recovery = new Recovery(nodes.id, { ...recovery, history, maxSessions, isMember: (id) => this.members.has(id) });
      this.clients = new Clients(this, maxSessions);
    }
    this.#own = nodes.topic(this.#topicOf(nodes.id));
    this.#own.on('message', (message, { from }) => this.#answered(message, from));
    this.#all = nodes.topic(name, recovers);
    this.#all.on('subscribers', (ids) => this.#changed(new Set(ids)));
    this.#all.on('message', (message, { from }) => from !== nodes.id && this.#heard(message, from));
    this.#all.on('lag', (lag) => this.#lags(lag));
  }

  get id() {
    return this.#nodes.id;
  }

  join(adapter) {
    this.#adapters.set(adapter.nsp.name, adapter);
  }

  leave(adapter) {
    if (this.#adapters.get(adapter.nsp.name) === adapter) this.#adapters.delete(adapter.nsp.name);
  }

  /** Tells all other processes. */
  publish(message) {
    try {
      this.#all.publish(message);
      return true;
    } catch (error) {
      this.#warn(error);
      return false;
    }
  }

  /**
   * Asks all other processes. `ends` is called once, when each of them has `answered` or is gone. Gives a function that ends the
   * waiting, and says how many have not answered.
   */
  ask(message, { answered, left = () => undefined, ends }) {
    this.#requests += 1;
    const requestId = `${this.id}:${this.#requests}`;
    const waiting = new Set(this.members);
    const finish = (id) => {
      if (!waiting.delete(id) || waiting.size > 0 || !this.#pending.delete(requestId)) return;
      ends();
    };
    const gone = (id) => {
      if (waiting.has(id)) left(id);
      finish(id);
    };
    this.#pending.set(requestId, { gone, answered: (response, from) => waiting.has(from) && answered(response, from) && finish(from) });
    if (waiting.size === 0) {
      this.#pending.delete(requestId);
      ends();
    } else if (!this.publish({ ...message, data: { ...message.data, requestId } })) {
      // Nobody has got it.
      [...waiting].forEach(gone);
    }
    return () => {
      this.#pending.delete(requestId);
      return waiting.size;
    };
  }

  /** Answers one process, which may read slowly: then the answer waits for room. */
  answer(id, message) {
    const until = Date.now() + OFFER.longest;
    const offer = () => {
      if (!this.#publishTo(id, message) && Date.now() < until) setTimeout(offer, OFFER.pause).unref();
    };
    offer();
  }

  #publishTo(id, message) {
    // It has gone, or has never been there.
    if (!this.members.has(id)) return true;
    if (!this.#to.has(id)) this.#to.set(id, this.#nodes.topic(this.#topicOf(id)));
    try {
      return this.#to.get(id).publish(message);
    } catch (error) {
      this.#warn(error);
      return true;
    }
  }

  #topicOf(id) {
    return `${this.#name}>${id}`;
  }

  #changed(ids) {
    const came = [...ids].some((id) => !this.members.has(id));
    const gone = [...this.members].filter((id) => !ids.has(id));
    this.members = ids;
    this.changedAt = Date.now();
    if (came && this.recovery !== null) this.publish({ type: TYPE.count, ...this.recovery.count() });
    for (const id of gone) {
      for (const pending of [...this.#pending.values()]) pending.gone(id);
      this.#to.get(id)?.close();
      this.#to.delete(id);
      for (const [nsp, session] of this.clients?.of(id) ?? []) this.recovery.keepUnlessKept(nsp, session);
    }
    this.clients?.keepAt(ids);
  }

  #heard(message, from) {
    if (!isMessage(message)) return;
    const { recovery } = this;
    if (recovery !== null && recovery.isOld(message)) return recovery.remember(message, from);
    switch (message.type) {
      case TYPE.count:
        return recovery?.counted(message, from);
      case TYPE.session:
        this.clients?.drop(message.nsp, message.data.pid);
        return recovery?.keepSession(message.nsp, message.data);
      case TYPE.restored:
        this.clients?.drop(message.nsp, message.data.pid, from);
        return recovery?.dropSession(message.nsp, message.data.pid);
      case TYPE.find:
        return this.#find(message, from);
    }
    const offset = recovery?.received(message, from);
    const adapter = this.#adapters.get(message.nsp);
    if (adapter !== undefined) adapter.heard({ ...message, uid: from }, offset);
    else if (message.data.requestId !== undefined) this.answer(from, { type: TYPE.absent, data: { requestId: message.data.requestId } });
  }

  #find({ nsp, data: { pid, requestId } }, from) {
    const told = this.clients?.find(nsp, pid) ?? null;
    this.clients?.end(nsp, pid);
    this.answer(from, { type: TYPE.found, data: { requestId, session: this.recovery?.session(nsp, pid) ?? null, told } });
  }

  #answered(message, from) {
    if (!isAnswer(message)) return;
    if (message.type === TYPE.clients) return this.clients?.told(from, message.data);
    const pending = this.#pending.get(message.data.requestId);
    if (message.type === TYPE.absent) pending?.gone(from);
    else pending?.answered(message, from);
  }

  #lags({ from, missed }) {
    if (from === this.id) return;
    this.recovery?.lags(from);
    const text = `socket.io: ${missed} messages of ${from} are missing in this process, which read too slowly; larger \`maxPeerBacklog\` and \`maxSubscriptionBacklog\` help`;
    process.emitWarning(text, { code: 'MULTI_NODE_SOCKET_IO_LAG' });
  }

  /** Once for each kind of error. */
  #warn(error) {
    if (this.#warned.has(error.code)) return;
    this.#warned.add(error.code);
    process.emitWarning(`socket.io: a message does not reach the other processes: ${error.message}`, { code: 'MULTI_NODE_SOCKET_IO' });
  }
}

/** socket.io's types, and what each needs. */
const NEEDS = {
  3: ({ packet, opts }) => isRecord(packet) && areOptions(opts),
  4: ({ rooms, opts }) => Array.isArray(rooms) && areOptions(opts),
  5: ({ rooms, opts }) => Array.isArray(rooms) && areOptions(opts),
  6: ({ opts }) => areOptions(opts),
  7: ({ opts }) => areOptions(opts),
  9: ({ packet }) => Array.isArray(packet),
  [TYPE.session]: ({ rooms }) => Array.isArray(rooms),
  [TYPE.restored]: () => true,
  [TYPE.find]: () => true,
};

/** What comes from other processes is looked at before it is used. */
function isMessage(message) {
  if (!isRecord(message)) return false;
  if (message.type === TYPE.count) return Number.isSafeInteger(message.n);
  const { type, nsp, data } = message;
  return typeof nsp === 'string' && isRecord(data) && Object.hasOwn(NEEDS, type) && NEEDS[type](data);
}

function areOptions(opts) {
  return Array.isArray(opts?.rooms) && Array.isArray(opts.except);
}

function isRecord(value) {
  return typeof value === 'object' && value !== null;
}

function isAnswer(message) {
  return isRecord(message) && isRecord(message.data);
}

module.exports = { Channel, TYPE };
