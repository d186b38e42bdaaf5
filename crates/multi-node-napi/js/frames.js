'use strict';
// Whole messages on a stream, as the original framed them: JSON between the bytes 0x00 and 0xFF, which do not occur in JSON
// in UTF-8.

const { EventEmitter } = require('node:events');

const BEGIN = '\0';
const END = '\xff';
const BETWEEN = END + BEGIN;
const BEGIN_BYTE = Buffer.from(BEGIN, 'latin1');
const END_BYTE = Buffer.from(END, 'latin1');

/** Bytes of one message, at most. */
const LIMIT = 16 * 1024 * 1024;

/** Characters of messages that are written at once. */
const WRITE = 1024 * 1024;

class FrameStream extends EventEmitter {
  #stream;
  #limit;
  /** The beginning of a message whose end has not come. */
  #parts = [];
  #length = 0;
  /** Messages of this turn of the event loop, which are written together, and how long they are. */
  #outgoing = [];
  #waiting = 0;
  /** Whether `send` said that the stream is full, so that "drain" has to follow. */
  #full = false;

  constructor(stream, { limit = LIMIT } = {}) {
    super();
    this.#stream = stream;
    this.#limit = limit;
    this.stream = stream;
    stream.on('data', (bytes) => this.#read(bytes));
    for (const event of ['end', 'close']) stream.on(event, (...args) => this.emit(event, ...args));
    stream.on('drain', () => this.#drained());
  }

  /** Sends a value as JSON. `false`: the stream is full, and says "drain" when it is not any more. */
  send(value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError('a message has to be a value that JSON can express');
    if (text.length * 3 > this.#limit) this.#refuseLong(Buffer.byteLength(text));
    if (this.#outgoing.push(text) === 1) process.nextTick(() => this.#write());
    this.#waiting += text.length;
    // More at once would be one string that V8 may not make.
    if (this.#waiting > WRITE) this.#write();
    const { writableNeedDrain, writableLength, writableHighWaterMark } = this.#stream;
    const full = writableNeedDrain || writableLength + this.#waiting >= writableHighWaterMark;
    this.#full ||= full;
    return !full;
  }

  #refuseLong(length) {
    if (length <= this.#limit) return;
    const why = `a message of ${length} bytes is longer than ${this.#limit}; send it in parts, or raise \`limit\` at both ends`;
    throw Object.assign(new RangeError(why), { code: 'ERR_MULTI_NODE_FRAME' });
  }

  #drained() {
    if (!this.#full) return;
    this.#full = false;
    this.emit('drain');
  }

  #write() {
    const messages = this.#outgoing;
    if (messages.length === 0) return;
    this.#outgoing = [];
    this.#waiting = 0;
    const text = `${BEGIN}${messages.join(BETWEEN)}${END}`;
    // Where all of it is ASCII, a character is a byte, and one native call writes them. UTF-8 would have two for each END, and no other.
    const isAscii = Buffer.byteLength(text) === text.length + messages.length;
    const more = isAscii
      ? this.#stream.write(text, 'latin1')
      : this.#stream.write(Buffer.concat(messages.flatMap((text) => [BEGIN_BYTE, Buffer.from(text), END_BYTE])));
    // The stream seemed full but was not: no other event reports that.
    if (more) process.nextTick(() => this.#drained());
  }

  #read(bytes) {
    const end = bytes.lastIndexOf(END_BYTE[0]);
    if (end === -1) return this.#keep(bytes);
    const whole = this.#parts.length === 0 ? bytes : Buffer.concat([...this.#parts, bytes]);
    const text = whole.latin1Slice(0, whole.length - bytes.length + end);
    this.#parts = [];
    this.#length = 0;
    const isAscii = !/[\x80-\xfe]/.test(text);
    for (const frame of text.split(END)) {
      if (!this.#message(frame, isAscii)) return;
    }
    this.#keep(bytes.subarray(end + 1));
  }

  /** Bytes of a message whose end has not come. */
  #keep(bytes) {
    this.#length += bytes.length;
    if (bytes.length > 0) this.#parts.push(bytes);
    if (this.#length > this.#limit) this.#refuse(`a message has more than ${this.#limit} bytes`);
  }

  /** A message, each byte of which is a character. */
  #message(frame, isAscii) {
    if (frame.length > this.#limit) return this.#refuse(`a message has more than ${this.#limit} bytes`);
    if (frame[0] !== BEGIN) return this.#refuse('the stream carries something else than frames');
    const text = frame.slice(1);
    let value;
    try {
      value = JSON.parse(isAscii ? text : Buffer.from(text, 'latin1').toString());
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
