'use strict';
// Whole messages on a stream, as the original framed them: JSON between the bytes 0x00 and 0xFF, neither of which JSON in UTF-8
// has.

const { EventEmitter } = require('node:events');

const BEGIN = 0x00;
const END = 0xff;
const BEGIN_BYTE = Buffer.of(BEGIN);
const BETWEEN = Buffer.of(END, BEGIN);
const END_BYTE = Buffer.of(END);

/** Bytes of one message, at most. */
const LIMIT = 16 * 1024 * 1024;

class FrameStream extends EventEmitter {
  #stream;
  #limit;
  /** The beginning of a message whose end has not come. */
  #parts = [];
  #length = 0;
  /** Messages of this turn of the event loop, which are written together. */
  #outgoing = [];

  constructor(stream, { limit = LIMIT } = {}) {
    super();
    this.#stream = stream;
    this.#limit = limit;
    this.stream = stream;
    stream.on('data', (bytes) => this.#read(bytes));
    for (const event of ['end', 'close', 'drain']) stream.on(event, (...args) => this.emit(event, ...args));
  }

  /** Sends a value as JSON. `false`: the stream is full, and says "drain" when it is not any more. */
  send(value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError('a message has to be a value that JSON can express');
    if (this.#outgoing.push(text) === 1) process.nextTick(() => this.#write());
    return !this.#stream.writableNeedDrain;
  }

  #write() {
    const messages = this.#outgoing;
    this.#outgoing = [];
    const parts = [BEGIN_BYTE];
    for (const text of messages) parts.push(Buffer.from(text), BETWEEN);
    parts[parts.length - 1] = END_BYTE;
    this.#stream.write(Buffer.concat(parts));
  }

  #read(bytes) {
    let from = 0;
    for (let end = bytes.indexOf(END); end !== -1; end = bytes.indexOf(END, from)) {
      const last = bytes.subarray(from, end);
      const frame = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last]);
      this.#parts = [];
      this.#length = 0;
      from = end + 1;
      if (!this.#message(frame)) return;
    }
    const rest = from === 0 ? bytes : bytes.subarray(from);
    this.#length += rest.length;
    if (rest.length > 0) this.#parts.push(rest);
    if (this.#length > this.#limit) this.#refuse(`a message has more than ${this.#limit} bytes`);
  }

  #message(frame) {
    if (frame.length > this.#limit) return this.#refuse(`a message has more than ${this.#limit} bytes`);
    if (frame[0] !== BEGIN) return this.#refuse('the stream carries something else than frames');
    let value;
    try {
      value = JSON.parse(frame.toString('utf8', 1));
    } catch (error) {
      return this.#refuse(`a frame holds no JSON: ${error.message}`);
    }
    this.emit('message', value);
    return true;
  }

  /** What comes after such bytes cannot be understood, so the stream ends here. */
  #refuse(why) {
    this.#parts = [];
    this.#length = 0;
    const error = Object.assign(new Error(why), { code: 'ERR_MULTI_NODE_FRAME' });
    this.#stream.destroy();
    if (this.listenerCount('error') > 0) this.emit('error', error);
    return false;
  }
}

/** Whole messages on a stream: `send(value)`, and "message" with each value that comes. */
function frameStream(stream, options) {
  return new FrameStream(stream, options);
}

module.exports = { FrameStream, frameStream };
