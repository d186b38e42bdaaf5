'use strict';
// Streams to other processes: plain sockets that a peer's death, or its silence, does not turn into our own end.

const net = require('node:net');

/** How long a peer's stream stays reset before a new one is asked for, in milliseconds: longer than the master's own pause. */
const REJOIN_AFTER = 1000;

/**
 * Makes the stream of a peer, whose descriptor it owns from here on. `dropped` is called for each write after its end, `rejoin` when
 * the stream was reset because the peer took nothing.
 */
function peerStream({ fd, id, slot, pid, isMaster, draining, epoch }, { maxBuffered, slowPeerTimeout, dropped, rejoin }) {
  const stream = new net.Socket({ fd, readable: true, writable: true });
  Object.assign(stream, { id, slot: slot ?? null, pid, isMaster, draining, epoch, dropped: 0 });
  // A peer that was killed shows as ECONNRESET or EPIPE, which without a listener would end this process too.
  stream.on('error', () => undefined);
  const progress = new Progress(stream, slowPeerTimeout, reset);
  const write = stream.write;
  stream.write = function (chunk, encoding, callback) {
    if (stream.destroyed || stream.writableEnded) {
      stream.dropped += 1;
      dropped();
      const done = typeof encoding === 'function' ? encoding : callback;
      if (typeof done === 'function') process.nextTick(done, null);
      return false;
    }
    const more = write.call(stream, chunk, encoding, callback);
    if (!more) {
      progress.watch();
      if (stream.writableLength > maxBuffered) reset(`more than ${maxBuffered} bytes wait for ${id} (maxBuffered)`);
    }
    return more;
  };
  stream.once('close', () => progress.end());
  // It lives as long as the process has something to do.
  stream.unref();
  return stream;

  function reset(why) {
    if (stream.destroyed) return;
    stream.destroy(Object.assign(new Error(why), { code: 'ERR_MULTI_NODE_SLOW_PEER' }));
    setTimeout(rejoin, REJOIN_AFTER).unref();
  }
}

/** Sees whether a stream with something to write gets rid of any of it. A peer that is behind is not slow while it takes something. */
class Progress {
  #stream;
  #timeout;
  #slow;
  #timer = null;
  #taken = -1;

  constructor(stream, timeout, slow) {
    this.#stream = stream;
    this.#timeout = timeout;
    this.#slow = slow;
  }

  watch() {
    if (this.#timer !== null) return;
    this.#taken = this.#takenByPeer();
    this.#timer = setInterval(() => this.#look(), this.#timeout).unref();
  }

  end() {
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #look() {
    if (!this.#stream.writableNeedDrain) return this.end();
    const before = this.#taken;
    this.#taken = this.#takenByPeer();
    if (this.#taken === before) this.#slow(`${this.#stream.id} has taken nothing for ${this.#timeout} ms (slowPeerTimeout)`);
  }

  /** The bytes that have left this process: those that libuv was given, less those that it holds. */
  #takenByPeer() {
    const handle = this.#stream._handle;
    return handle ? handle.bytesWritten - handle.writeQueueSize : this.#taken;
  }
}

module.exports = { peerStream };
