'use strict';
// Streams to other processes: plain sockets that a peer's death, or its silence, does not turn into our own end.

const net = require('node:net');

/** Makes the stream of a peer, whose descriptor it owns from here on. */
function peerStream({ fd, id, slot, pid, isMaster }, { maxBuffered, dropped }) {
  const stream = new net.Socket({ fd, readable: true, writable: true });
  Object.assign(stream, { id, slot: slot ?? null, pid, isMaster, dropped: 0 });
  // A peer that was killed shows as ECONNRESET or EPIPE, which without a listener would end this process too.
  stream.on('error', () => undefined);
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
    if (!more && stream.writableLength > maxBuffered) {
      stream.destroy(Object.assign(new Error(`${id} does not read`), { code: 'ERR_MULTI_NODE_SLOW_PEER' }));
    }
    return more;
  };
  // It lives as long as the process has something to do.
  stream.unref();
  return stream;
}

module.exports = { peerStream };
