'use strict';
// The adapter of one namespace. It extends socket.io's `ClusterAdapter`; which processes there are, it knows by the mesh.

const { TYPE } = require('./socket-io-channel.js');
const { refuse } = require('./socket-io-recovery.js');

/** socket.io's own deadline of requests to other servers, in milliseconds. */
const TIMEOUT = 5000;

/** How long a session is looked for in other processes, in milliseconds. */
const FIND = 5000;

/** How many sockets one answer describes. */
const SOCKETS = 50;

const EVENT = 2;

function adapterClass({ Adapter, ClusterAdapter, MessageType }) {
  const local = Adapter.prototype;

  return class NodesAdapter extends ClusterAdapter {
    #channel;
    /** By client: its last attempt to recover that is under way here. */
    #attempts = new Map();

    constructor(namespace, channel) {
      super(namespace);
      this.uid = channel.id;
      this.#channel = channel;
      channel.join(this);
    }

    close() {
      this.#channel.leave(this);
    }

    async serverCount() {
      return 1 + this.#channel.members.size;
    }

    // What `ClusterAdapter` publishes.

    async doPublish(message) {
      this.#channel.publish(this.#stamped(message));
      return '';
    }

    async doPublishResponse(id, response) {
      this.#channel.answer(id, response);
    }

    /** With recovery each message tells when it was sent, so that newcomers leave the older ones alone. */
    #stamped(message) {
      return this.#channel.recovery === null ? message : { ...message, at: this.#channel.recovery.now() };
    }

    /** A message of another process. */
    heard(message, offset) {
      const { type, data } = message;
      if (type === MessageType.FETCH_SOCKETS) return this.#describe(message.uid, data);
      if (type === MessageType.BROADCAST && data.requestId === undefined) {
        const opts = decoded(data.opts);
        for (const sid of this.#channel.recovery?.whoHasSeen(this.nsp.name, message.uid, message.n) ?? []) opts.except.add(sid);
        return this.#emit(data.packet, opts, offset);
      }
      this.onMessage(message);
    }

    /** Emitted here in the same turn as it is published, so that clients get the events of a process in their order. */
    async broadcast(packet, opts) {
      const { recovery } = this.#channel;
      let offset;
      // An acknowledgement cannot come back from another process.
      if (!opts.flags?.local && packet.id === undefined) {
        const message = { type: MessageType.BROADCAST, nsp: this.nsp.name, data: { packet, opts: encoded(opts) } };
        const stamp = recovery !== null && isKept(packet, opts) ? recovery.stampNext() : undefined;
        this.#channel.publish(stamp ? { ...message, ...stamp } : this.#stamped(message));
        if (stamp) offset = recovery.published({ ...message, ...stamp });
      }
      this.#emit(packet, opts, offset);
    }

    /** To the clients of this process. */
    #emit(packet, opts, offset) {
      if (offset !== undefined) packet.data = [...packet.data, offset];
      local.broadcast.call(this, packet, opts);
      if (offset !== undefined) this.#channel.recovery.hold(this.nsp, packet.data, opts);
    }

    broadcastWithAck(packet, opts, counted, acked) {
      if (!opts.flags?.local) this.#broadcastWithAck(packet, opts, counted, acked);
      local.broadcastWithAck.call(this, packet, opts, counted, acked);
    }

    /** The clients of a process are counted when all have acknowledged, or those that have when it is gone. */
    #broadcastWithAck(packet, opts, counted, acked) {
      const processes = new Map();
      const of = (id) => processes.get(id) ?? processes.set(id, { clients: undefined, acks: 0 }).get(id);
      const answered = ({ type, data }, from) => {
        const process = of(from);
        if (type === MessageType.BROADCAST_CLIENT_COUNT) process.clients = Number.isSafeInteger(data.clientCount) ? data.clientCount : 0;
        else if (type === MessageType.BROADCAST_ACK) {
          process.acks += 1;
          acked(data.packet);
        }
        const complete = process.clients === process.acks;
        if (complete) counted(process.clients);
        return complete;
      };
      const message = { type: MessageType.BROADCAST, nsp: this.nsp.name, data: { packet, opts: encoded(opts) } };
      this.#ask(message, opts.flags?.timeout ?? TIMEOUT, { answered, left: (id) => counted(of(id).acks) });
    }

    async fetchSockets(opts) {
      const sockets = await local.fetchSockets.call(this, opts);
      if (opts.flags?.local) return sockets;
      const message = { type: MessageType.FETCH_SOCKETS, nsp: this.nsp.name, data: { opts: encoded(opts) } };
      return new Promise((resolve, reject) => {
        const answered = ({ data }) => {
          if (Array.isArray(data.sockets)) sockets.push(...data.sockets);
          return !data.more;
        };
        const late = (missing) => reject(new Error(missing));
        this.#ask(message, opts.flags?.timeout ?? TIMEOUT, { answered, ends: () => resolve(sockets), late });
      });
    }

    async serverSideEmit(packet) {
      const message = { type: MessageType.SERVER_SIDE_EMIT, nsp: this.nsp.name, data: { packet } };
      const ack = packet.at(-1);
      if (typeof ack !== 'function') {
        this.#channel.publish(this.#stamped(message));
        return;
      }
      packet.pop();
      const responses = [];
      const answered = ({ data }) => responses.push(data.packet) > 0;
      this.#ask(message, TIMEOUT, { answered, ends: () => ack(null, responses), late: (missing) => ack(new Error(missing), responses) });
    }

    /** Asks the other processes; `ends` is called when all have answered or are gone, `late` with what to say if some have not. */
    #ask(message, timeout, { answered, left, ends = () => undefined, late = () => undefined }) {
      const deadline = setTimeout(() => late(`timeout reached: missing ${giveUp()} responses`), timeout);
      const done = () => {
        clearTimeout(deadline);
        ends();
      };
      const giveUp = this.#channel.ask(this.#stamped(message), { answered, left, ends: done });
    }

    /** Describes the sockets of this process, some at a time. */
    async #describe(id, { requestId, opts }) {
      const all = await local.fetchSockets.call(this, decoded(opts));
      let at = 0;
      do {
        const sockets = all.slice(at, at + SOCKETS).map(descriptionOf);
        at += SOCKETS;
        this.#channel.answer(id, { type: MessageType.FETCH_SOCKETS_RESPONSE, data: { requestId, sockets, more: at < all.length } });
      } while (at < all.length);
    }

    // Connection state recovery.

    persistSession(session) {
      const { recovery } = this.#channel;
      if (recovery === null) return;
      const kept = recovery.keepSession(this.nsp.name, session);
      this.#channel.publish(this.#stamped({ type: TYPE.session, nsp: this.nsp.name, data: kept }));
    }

    async restoreSession(pid, offset) {
      const { recovery, clients } = this.#channel;
      if (recovery === null) return null;
      const attempt = Symbol();
      this.#attempts.set(pid, attempt);
      clients.end(this.nsp.name, pid);
      const session = recovery.session(this.nsp.name, pid) ?? (await this.#find(pid));
      const hasCaughtUp = session !== null && (await recovery.hasCaughtUp(offset));
      if (this.#attempts.get(pid) !== attempt) return refuse('it has come once more');
      this.#attempts.delete(pid);
      if (session === null) return refuse('no process knows it');
      if (!hasCaughtUp) return null;
      this.#end(session.sid);
      return recovery.restore(this.nsp, session, offset);
    }

    /**
     * Ends an earlier attempt of a client that comes once more: a socket with the same id that is not connected yet. Otherwise the end of that one
     * would take the rooms from the other.
     */
    #end(sid) {
      const earlier = this.nsp._preConnectSockets?.get(sid);
      if (earlier === undefined) return;
      earlier.conn.close(true);
      earlier._cleanup();
      earlier._cleanup = () => undefined;
    }

    /** A client that has recovered is connected. Others have kept its session until now, since it might have gone again. */
    #isBack({ pid }) {
      const nsp = this.nsp.name;
      this.#channel.recovery.dropSession(nsp, pid);
      this.#channel.clients.drop(nsp, pid);
      this.#channel.publish(this.#stamped({ type: TYPE.restored, nsp, data: { pid } }));
    }

    /** Its own process knows a client best; if that was killed, the process that it had told about it. */
    #find(pid) {
      const nsp = this.nsp.name;
      const { recovery, clients } = this.#channel;
      let told = clients.find(nsp, pid);
      return new Promise((resolve) => {
        const answered = ({ data }) => {
          told ??= data.told;
          if (data.session) resolve(data.session);
          return true;
        };
        const end = () => resolve(told ? { ...told, left: recovery.now() } : null);
        this.#ask({ type: TYPE.find, nsp, data: { pid } }, FIND, { answered, ends: end, late: end });
      });
    }

    addAll(id, rooms) {
      super.addAll(id, rooms);
      const { recovery, clients } = this.#channel;
      clients?.joins(this.nsp, id);
      const recovered = recovery?.joins(this.nsp, id);
      if (recovered) this.#isBack(recovered);
    }

    del(id, room) {
      super.del(id, room);
      this.#channel.clients?.joins(this.nsp, id);
    }

    delAll(id) {
      this.#channel.recovery?.leaves(this.nsp, id);
      this.#channel.clients?.leaves(this.nsp, id);
      super.delAll(id);
    }
  };
}

/** Whether a client that was away gets it: an event without acknowledgement that is not volatile. */
function isKept(packet, { flags }) {
  return packet.type === EVENT && packet.id === undefined && flags?.volatile === undefined && Array.isArray(packet.data);
}

function descriptionOf({ id, handshake: { sessionStore, ...handshake }, rooms, data }) {
  return { id, handshake, rooms: [...rooms], data };
}

function encoded({ rooms, except, flags }) {
  return { rooms: [...rooms], except: [...(except ?? [])], flags };
}

function decoded({ rooms, except, flags }) {
  return { rooms: new Set(rooms), except: new Set(except), flags };
}

module.exports = { adapterClass };
