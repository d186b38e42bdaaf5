'use strict';
// What a turn of the event loop publishes goes to the library in one call, since a call for each message costs more than the message.

const { KIND } = require('./batch.js');

/** Larger contents are handed over one by one. */
const LARGE = 4096;

/** The room for contents, and the most messages, of one call. */
const ROOM = 64 << 10;
const MOST = 1024;

/** Made when they are first used. */
let bytes;
let heads;

/** The topic whose messages wait, how many, and how many bytes they have. */
let waiting = null;
let count = 0;
let length = 0;

/** Nothing of this process runs later. */
let ends = false;

/** A topic of the library, which publishes. */
class Publisher {
  #handle;
  #largest;
  #lagging = false;

  constructor(handle) {
    this.#handle = handle;
    this.#largest = Math.min(LARGE, handle.maxMessage());
  }

  /** `false`: a subscribed peer misses messages, as far as is known now. */
  publish(content) {
    if (waiting !== this) {
      flush();
      waiting = this;
    }
    if (!this.#add(content)) {
      flush();
      this.#lagging = !this.#handle.publish(content);
    }
    if (ends) flush();
    return !this.#lagging;
  }

  /** `false`: it is too large. */
  #add(content) {
    if (typeof content === 'string') return this.#addText(content);
    return Buffer.isBuffer(content) && this.#addBytes(content);
  }

  #addText(text) {
    // A character takes three bytes at most.
    if (text.length * 3 > this.#largest) return false;
    makeRoom(text.length * 3);
    add(KIND.json, bytes.write(text, length));
    return true;
  }

  #addBytes(content) {
    if (content.length > this.#largest) return false;
    makeRoom(content.length);
    bytes.set(content, length);
    add(KIND.bytes, content.length);
    return true;
  }

  /** Resolves when every subscribed peer has room, for what was published before too. */
  room() {
    flush();
    return new Promise((resolve) => {
      const room = this.#handle.room(() => room.poll() && resolve());
      if (room.poll()) resolve();
    });
  }

  /** Hands over the first messages of the buffers. */
  send(messages, total) {
    this.#lagging = !this.#handle.publishMany(bytes.subarray(0, total), heads.subarray(0, messages * 2));
  }
}

function makeRoom(more) {
  if (count === MOST || length + more > ROOM) flush();
  if (count > 0) return;
  bytes ??= Buffer.allocUnsafeSlow(ROOM);
  heads ??= new Uint32Array(MOST * 2);
  // Once for all messages of a turn, and before promises go on.
  process.nextTick(flush);
}

function add(kind, size) {
  heads[count * 2] = kind;
  heads[count * 2 + 1] = size;
  count += 1;
  length += size;
}

/** Hands over what waits. */
function flush() {
  if (count === 0) return;
  const [messages, total] = [count, length];
  count = 0;
  length = 0;
  waiting.send(messages, total);
}

process.on('exit', () => {
  ends = true;
  flush();
});

module.exports = { Publisher, flush };
