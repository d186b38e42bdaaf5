'use strict';
// Connection state recovery: what clients miss between two connections, which may be to two processes.
//
// Each process counts the events that it publishes. The events of different publishers reach the processes in different orders, so an offset
// names, for each publisher, the last event that the client's process had handled. Each process keeps the last events of all publishers.

const { setTimeout: sleep } = require('node:timers/promises');
const { debuglog } = require('node:util');

/** `NODE_DEBUG=multi-node` shows why a client could not recover. */
const debug = debuglog('multi-node');

/** How much later than its time an event reaches a process at most, in milliseconds. */
const SLACK = 30_000;

/** How often what is too old is forgotten. */
const SWEEP = 10_000;

/** How long a process waits for the messages of others that a client has seen already, and how often it looks, in milliseconds. */
const CATCH_UP = { live: 5000, ended: 100, pause: 2 };

/** socket.io's type of an event. */
const EVENT = 2;

const LONGEST_OFFSET = 16_384;

/** Milliseconds by a clock that all processes of the machine share, and nobody sets. */
function now() {
  return Math.trunc(Number(process.hrtime.bigint() / 1_000_000n));
}

class Recovery {
  #me;
  #most;
  #lost;
  #isMember;
  /** The last events: who published them, their number and time, and what they are. */
  #events = [];
  /**
   * By publisher: the number and time of its last event, the number from which on its events are here without a gap, and a time after
   * which none of those before was published; of one that ended also the last event (`seen`) that a client here has from elsewhere.
   */
  #publishers = new Map();
  /** The latest time of an event that had to make room. */
  #droppedAt = -Infinity;
  #sessions = new Map();
  #restoring = new Map();
  /** By client: what it has seen of processes that ended, and is still on its way here. */
  #ahead = new Map();
  #started = now();
  #isFirst = true;
  #warned = false;

  constructor(me, { history, maxSessions, away, lost, isMember }) {
    this.#me = me;
    this.#most = { events: history, sessions: maxSessions, age: away };
    this.#lost = lost;
    this.#isMember = isMember;
    this.#publishers.set(me, { last: 0, at: -Infinity, first: 1, droppedAt: -Infinity });
    setInterval(() => this.#sweep(), SWEEP).unref();
  }

  now() {
    return now();
  }

  // Events.

  /** The number and time of this process's last event, and of those of processes that have ended, which a newcomer cannot ask. */
  count() {
    const { last, at } = this.#publishers.get(this.#me);
    const ended = [...this.#publishers].filter(([id]) => id !== this.#me && !this.#isMember(id));
    return { n: last, last: at, at: now(), ended: ended.map(([id, publisher]) => [id, publisher.last, publisher.at]) };
  }

  stampNext() {
    return { n: this.#publishers.get(this.#me).last + 1, at: now() };
  }

  /** An event of this process; gives its offset. */
  published(message) {
    this.#add(message, this.#me);
    return this.#offset(message.at);
  }

  /** A message of another process; gives its offset if it is an event that is kept. */
  received(message, from) {
    if (!isEvent(message)) return undefined;
    this.#add(message, from);
    return this.#offset(message.at);
  }

  /** Whether a message was sent before this process took part: then it comes from the topic's history. */
  isOld({ at }) {
    return Number.isFinite(at) && at < this.#started;
  }

  /** An older message. */
  remember(message, from) {
    // What was before the first of them is unknown here.
    if (this.#isFirst && message.n !== 1) this.#droppedAt = message.at;
    this.#isFirst = false;
    if (isEvent(message)) this.#add(message, from);
  }

  /** A process says how many events it has published. */
  counted({ n, last, ended }, from) {
    this.#countEnded(Array.isArray(ended) ? ended.filter(Array.isArray) : []);
    if (this.#publishers.has(from) && this.#publishers.get(from).last >= n) return;
    const at = Number.isFinite(last) ? last : now();
    this.#publishers.set(from, { last: n, at, first: n + 1, droppedAt: at });
  }

  /** What is known here is not changed: its own messages told it. */
  #countEnded(ended) {
    for (const [id, n, at] of ended) {
      if (this.#publishers.has(id) || this.#isMember(id) || !Number.isSafeInteger(n) || !Number.isFinite(at)) continue;
      this.#publishers.set(id, { last: n, at, first: n + 1, droppedAt: at });
    }
  }

  /** Some events of this process are missing here: which, shows with its next one. */
  lags(from) {
    const publisher = this.#publishers.get(from);
    if (publisher) Object.assign(publisher, { first: Infinity, droppedAt: Infinity });
  }

  #add({ n, at, nsp, data: { packet, opts } }, from) {
    const publisher = this.#publishers.get(from);
    const goesOn = publisher === undefined ? n === 1 : publisher.last + 1 === n && publisher.first !== Infinity;
    const { first, droppedAt } = goesOn ? (publisher ?? { first: 1, droppedAt: -Infinity }) : { first: n, droppedAt: at };
    this.#publishers.set(from, { last: n, at, first, droppedAt, seen: publisher?.seen });
    this.#events.push({ from, n, at, nsp, data: packet.data, rooms: new Set(opts.rooms), except: new Set(opts.except) });
    if (this.#events.length > this.#most.events * 1.1) this.#drop(this.#events.length - this.#most.events);
  }

  /** Drops the oldest events. */
  #drop(count) {
    for (const { from, n, at } of this.#events.splice(0, count)) {
      this.#droppedAt = Math.max(this.#droppedAt, at);
      const publisher = this.#publishers.get(from);
      if (publisher === undefined) continue;
      publisher.first = Math.max(publisher.first, n + 1);
      publisher.droppedAt = Math.max(publisher.droppedAt, at);
    }
  }

  #offset(at) {
    return this.#encode(at, this.#seenHere());
  }

  /** By publisher: the last event that clients of this process have. No client's next offset is behind its last one, or it would get events twice. */
  #seenHere() {
    return new Map([...this.#publishers].map(([id, { last, seen = 0 }]) => [id, Math.max(last, seen)]));
  }

  /** Without processes that ended long before: every client has their events. */
  #encode(time, seen) {
    const isRecent = (id) => id === this.#me || this.#isMember(id) || this.#publishers.get(id)?.at >= time - SLACK;
    return encode(time, [...seen].filter(([id]) => isRecent(id)));
  }

  // Sessions of clients that have gone, and may come back.

  keepSession(nsp, session) {
    const { sid, pid, rooms, data } = session;
    const kept = { sid, pid, rooms, data, left: Number.isFinite(session.left) ? session.left : now() };
    if (typeof pid !== 'string' || !Array.isArray(rooms)) return kept;
    this.#sessions.set(key(nsp, pid), kept);
    if (this.#sessions.size > this.#most.sessions) this.#dropOldestSession();
    return kept;
  }

  /** A session of a process that was killed. */
  keepUnlessKept(nsp, session) {
    if (this.session(nsp, session.pid) === undefined) this.keepSession(nsp, { ...session, left: now() });
  }

  #dropOldestSession() {
    this.#sessions.delete(this.#sessions.keys().next().value);
    if (this.#warned) return;
    this.#warned = true;
    process.emitWarning(`socket.io: more than ${this.#most.sessions} clients are away (maxSessions); those that left first cannot recover`, {
      code: 'MULTI_NODE_SOCKET_IO',
    });
  }

  session(nsp, pid) {
    const session = this.#sessions.get(key(nsp, pid));
    return session !== undefined && this.#isHere(session) ? session : undefined;
  }

  dropSession(nsp, pid) {
    this.#sessions.delete(key(nsp, pid));
  }

  #isHere({ left }) {
    return left + this.#most.age > now();
  }

  /** The session as socket.io wants it, with what its client missed; null where that is not known here. */
  restore(namespace, session, text) {
    const offset = decode(text);
    if (offset === null || !this.#isHere(session)) return refuse(offset === null ? 'its offset is none' : 'it was away too long');
    const { seen } = offset;
    // What was sent before this time, the client has got.
    const since = Math.max(offset.at - SLACK, session.left - this.#lost);
    const lacking = this.#lacks(seen, since);
    if (lacking !== null) return refuse(`events of ${lacking} are missing in this process`);
    const ahead = [...seen].filter(([id, n]) => (this.#publishers.get(id)?.last ?? 0) < n);
    if (ahead.length > 0) this.#isAhead(key(namespace.name, session.sid), new Map(ahead));
    const isMissed = ({ from, n, at, nsp }) => n > (seen.get(from) ?? 0) && at >= since && nsp === namespace.name;
    const missed = this.#events.filter((event) => isMissed(event) && isFor(session.rooms, event));
    return { ...session, missedPackets: this.#heldOf(namespace.name, session, this.#withOffsets(missed)) };
  }

  /** A client has seen events of processes that ended. They are on their way here, or never come. */
  #isAhead(client, seen) {
    this.#ahead.set(client, { at: now(), seen });
    for (const [id, n] of seen) {
      const publisher = this.#publishers.get(id);
      // A client may say anything. What a live process has sent comes here too.
      if (publisher && !this.#isMember(id)) publisher.seen = Math.max(publisher.seen ?? 0, n);
    }
  }

  /**
   * Waits until this process has handled what the client has seen, which came to it by a process that was faster: it would get those events again.
   * What a process that has ended did not send before its end never comes.
   */
  async hasCaughtUp(text) {
    const seen = [...(decode(text)?.seen ?? [])];
    const isBehind = ([id, n]) => (this.#publishers.get(id)?.last ?? 0) < n;
    const begin = now();
    const mayCome = ([id]) => now() < begin + (this.#isMember(id) ? CATCH_UP.live : CATCH_UP.ended);
    while (seen.some((publisher) => isBehind(publisher) && mayCome(publisher))) await sleep(CATCH_UP.pause);
    const behind = seen.filter((publisher) => isBehind(publisher) && this.#isMember(publisher[0]));
    if (behind.length > 0) refuse(`this process has not caught up with ${behind.map(([id]) => id)} in time`);
    return behind.length === 0;
  }

  /**
   * The missed events, to which further ones are added until `joins` sends them. socket.io itself would send them before CONNECT: clients keep
   * such events until CONNECT comes, over the end of the connection too, and would get them again by the next one.
   */
  #heldOf(nsp, session, packets) {
    this.#restoring.set(key(nsp, session.sid), { session, late: packets });
    packets.forEach = () => undefined;
    return packets;
  }

  /** A process of which not all events since a time are here that a client may have missed that has seen these; null if all are here. */
  #lacks(seen, since) {
    for (const [id, { first, droppedAt }] of this.#publishers) {
      if ((seen.get(id) ?? 0) + 1 < first && droppedAt >= since) return `${id} before number ${first}`;
    }
    // Of those whose publisher has ended and is unknown here, none may have been dropped.
    const unknown = [...seen.keys()].find((id) => !this.#publishers.has(id));
    return unknown === undefined || since > this.#droppedAt ? null : unknown;
  }

  /** Each with the offset of a client that has got it and those before it. */
  #withOffsets(events) {
    const [here, left] = [this.#seenHere(), new Map()];
    const seen = new Map(here);
    for (const { from, n } of events) {
      if (!left.has(from)) seen.set(from, n - 1);
      left.set(from, (left.get(from) ?? 0) + 1);
    }
    return events.map(({ from, n, at, data }) => {
      left.set(from, left.get(from) - 1);
      seen.set(from, left.get(from) === 0 ? here.get(from) : n);
      return [...data, this.#encode(at, seen)];
    });
  }

  // Between the moment at which a session is restored and the one at which its socket is connected, its events are held here.

  hold({ name, sockets }, data, opts) {
    for (const [id, held] of this.#restoring) {
      const { session } = held;
      if (id === key(name, session.sid) && !sockets.has(session.sid) && isFor(session.rooms, opts)) held.late.push(data);
    }
  }

  /** A socket joins rooms: in its constructor, and when it is connected. Gives the session with which one that has recovered is connected. */
  joins({ name, sockets }, sid) {
    const held = this.#restoring.get(key(name, sid));
    const socket = sockets.get(sid);
    if (held === undefined || socket === undefined) return undefined;
    this.#restoring.delete(key(name, sid));
    // What it sends next is CONNECT.
    socket.packet = (...connect) => {
      delete socket.packet;
      socket.packet(...connect);
      for (const data of held.late) socket.packet({ type: EVENT, data });
    };
    return held.session;
  }

  /** The clients that have seen an event of another process already, by their sockets' ids. */
  whoHasSeen(nsp, from, n) {
    const who = [...this.#ahead].filter(([id, { seen }]) => seen.get(from) >= n && id.startsWith(key(nsp, '')));
    return who.map(([id]) => id.slice(nsp.length + 1));
  }

  leaves({ name }, sid) {
    this.#restoring.delete(key(name, sid));
    this.#ahead.delete(key(name, sid));
  }

  /** Forgets what is too old. */
  #sweep() {
    const oldest = now() - this.#most.age;
    const from = this.#events.findIndex(({ at }) => at >= oldest);
    this.#drop(from === -1 ? this.#events.length : from);
    for (const [id, { at }] of this.#ahead) if (at < now() - SLACK) this.#ahead.delete(id);
    for (const [id, session] of this.#sessions) if (!this.#isHere(session)) this.#sessions.delete(id);
    for (const [id, { at }] of this.#publishers) {
      if (id !== this.#me && !this.#isMember(id) && at < oldest - this.#most.age) this.#publishers.delete(id);
    }
  }
}

function refuse(why) {
  debug('socket.io: a client cannot recover: %s', why);
  return null;
}

function isEvent({ n, at, data }) {
  return Number.isSafeInteger(n) && Number.isFinite(at) && Array.isArray(data?.packet?.data) && data.opts !== undefined;
}

function isFor(sessionRooms, { rooms, except }) {
  const included = rooms.size === 0 || sessionRooms.some((room) => rooms.has(room));
  return included && sessionRooms.every((room) => !except.has(room));
}

function key(nsp, id) {
  return `${nsp}\0${id}`;
}

/** An offset as clients hold it: the time of the event, and the last event of each publisher. */
function encode(at, seen) {
  const parts = [];
  for (const [id, last] of seen) if (last > 0) parts.push(`${id.replace('node-', '')}:${last.toString(36)}`);
  return `${at.toString(36)};${parts.join()}`;
}

/** It comes from clients, so it may be anything. */
function decode(text) {
  if (text.length > LONGEST_OFFSET || !/^[0-9a-z]{1,11};[a-z0-9:,]*$/.test(text)) return null;
  const [at, parts] = text.split(';');
  const seen = new Map();
  for (const part of parts.split(',').filter(Boolean)) {
    const [id, last] = part.split(':');
    if (!id || !last) return null;
    seen.set(/^\d/.test(id) ? `node-${id}` : id, parseInt(last, 36));
  }
  return { at: parseInt(at, 36), seen };
}

module.exports = { Recovery, decode, encode, key, refuse };
