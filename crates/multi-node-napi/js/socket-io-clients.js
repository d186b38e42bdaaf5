'use strict';
// The clients of a process that is killed. Each process describes its own clients to the longest-living other process, at each change of their
// rooms. That process knows them afterwards.

const { key } = require('./socket-io-recovery.js');

/** How many clients one message describes. */
const AT_ONCE = 50;

class Clients {
  #channel;
  #most;
  #isWarned = false;
  /** The sockets of this process, by namespace and the client's private id. */
  #own = new Map();
  /** Those of them about which the keeper has to hear. */
  #changed = new Set();
  #keeper;
  /** What other processes have told, by process. */
  #others = new Map();
  #count = 0;

  constructor(channel, most) {
    this.#channel = channel;
    this.#most = most;
  }

  /** A socket of this process has other rooms than before. */
  joins(namespace, sid) {
    const socket = namespace.sockets.get(sid);
    if (socket !== undefined) this.#mark(key(namespace.name, socket.pid), socket);
  }

  leaves(namespace, sid) {
    const socket = namespace.sockets.get(sid);
    if (socket !== undefined) this.#mark(key(namespace.name, socket.pid), undefined);
  }

  #mark(id, socket) {
    if (socket) this.#own.set(id, socket);
    else this.#own.delete(id);
    if (this.#changed.size === 0) setImmediate(() => this.#tell());
    this.#changed.add(id);
  }

  /** The longest-living of the other processes has to know all of ours. */
  keepAt(members) {
    const [keeper] = [...members].sort((one, other) => born(one) - born(other));
    if (keeper === this.#keeper) return;
    this.#keeper = keeper;
    for (const [id, socket] of this.#own) this.#mark(id, socket);
  }

  #tell() {
    const changed = [...this.#changed];
    this.#changed.clear();
    if (this.#keeper === undefined) return;
    for (let at = 0; at < changed.length; at += AT_ONCE) {
      const clients = changed.slice(at, at + AT_ONCE).map((id) => [id, this.#describe(id)]);
      this.#channel.answer(this.#keeper, { type: 'clients', data: { clients } });
    }
  }

  #describe(id) {
    const socket = this.#own.get(id);
    return socket ? { sid: socket.id, pid: socket.pid, rooms: [...socket.rooms], data: socket.data } : null;
  }

  /** Ends the connection of a client that is elsewhere by now: it has noticed before this process did. */
  end(nsp, pid) {
    this.#own.get(key(nsp, pid))?.conn.close(true);
  }

  /** Another process tells of its clients. */
  told(from, { clients }) {
    if (!Array.isArray(clients)) return;
    for (const client of clients) {
      if (!Array.isArray(client) || typeof client[0] !== 'string') continue;
      const [id, session] = client;
      if (isSession(session)) this.#keep(from, id, session);
      else this.#forget(from, id);
    }
  }

  #keep(from, id, session) {
    const of = this.#others.get(from) ?? this.#others.set(from, new Map()).get(from);
    if (!of.has(id) && this.#count >= this.#most) return this.#warn();
    if (!of.has(id)) this.#count += 1;
    of.set(id, session);
  }

  #forget(from, id) {
    if (this.#others.get(from)?.delete(id)) this.#count -= 1;
  }

  #warn() {
    if (this.#isWarned) return;
    this.#isWarned = true;
    process.emitWarning(`socket.io: more than ${this.#most} clients (maxSessions); the last ones cannot recover if their process is killed`, {
      code: 'MULTI_NODE_SOCKET_IO',
    });
  }

  /** A client of another process; null if none is known here. */
  find(nsp, pid) {
    const id = key(nsp, pid);
    for (const of of this.#others.values()) if (of.has(id)) return of.get(id);
    return null;
  }

  /** A client has left, or is at the process `now`. */
  drop(nsp, pid, now) {
    for (const from of this.#others.keys()) if (from !== now) this.#forget(from, key(nsp, pid));
  }

  /** A process has ended: gives the namespaces and sessions of the clients that it still had. */
  of(process) {
    const left = [...(this.#others.get(process) ?? [])];
    this.#others.delete(process);
    this.#count -= left.length;
    return left.map(([id, session]) => [id.slice(0, id.lastIndexOf('\0')), session]);
  }
}

function isSession(session) {
  return typeof session?.sid === 'string' && typeof session.pid === 'string' && Array.isArray(session.rooms);
}

/** Ids are given in the order of starts, and the master is there before all. */
function born(id) {
  return id === 'master' ? 0 : Number(/\d+$/.exec(id)?.[0] ?? Infinity);
}

module.exports = { Clients };
