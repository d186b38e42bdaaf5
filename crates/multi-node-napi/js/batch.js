'use strict';
// Messages cross from the library many at a time: numbers that say what each is, the bytes of those that are bytes, and a JSON array
// with the others.

const { bytesOf, decode, encode, holdsBytes } = require('./message-pack.js');

/** The kinds of content. */
const KIND = { json: 0, bytes: 1, unreadable: 2, missed: 3, packed: 4 };

/** The bits of a head that hold the kind. Those above them hold who sent the message. */
const KIND_BITS = 8;
const KIND_MASK = (1 << KIND_BITS) - 1;

/** Small contents of bytes are parts of pieces of this size, as small Buffers are of Node's pool: one that is kept keeps no more. */
const PIECE = 8 << 10;

const NOTHING = Buffer.alloc(0);

/** What has come. It is read message by message: what stands here is of the one that `advance` has come to. */
class Batch {
  /** What the message is. */
  kind = KIND.json;
  from = undefined;
  /** The same as a listener gets it: one object for all messages that follow each other from one sender. */
  origin = undefined;
  /** Its content; of another kind why it cannot be read, or how many are missing. */
  value = undefined;
  #heads;
  #head = 0;
  #senders;
  #sender = -1;
  #elements;
  #element = 0;
  #bytes;
  #at = 0;
  /** The piece's memory, and where in it the batch's first byte would lie. A Buffer of these costs less than a part of a Buffer. */
  #memory = NOTHING.buffer;
  #origin = 0;
  #pieceTo = 0;

  constructor({ heads, senders, text, bytes }) {
    this.#heads = heads ?? [];
    this.#senders = senders;
    this.#elements = text === undefined || text === null ? [] : JSON.parse(text);
    this.#bytes = bytes ?? NOTHING;
  }

  get hasMore() {
    return this.#head < this.#heads.length;
  }

  /** Reads the next message, if there is one. */
  advance() {
    if (!this.hasMore) return false;
    const head = this.#heads[this.#head];
    const length = this.#heads[this.#head + 1];
    this.#head += 2;
    this.kind = head & KIND_MASK;
    this.#sent(head >>> KIND_BITS);
    if (this.kind === KIND.bytes) this.value = this.#copy(length);
    else if (this.kind === KIND.packed) this.#unpack(length);
    else this.value = this.element();
    return true;
  }

  /** Whether the message cannot be read. */
  get isUnreadable() {
    return this.kind === KIND.unreadable;
  }

  /** The next element of the array, where a message has some before its content. */
  element() {
    const at = this.#element;
    this.#element += 1;
    return this.#elements[at];
  }

  #sent(sender) {
    if (sender === this.#sender) return;
    this.#sender = sender;
    this.from = this.#senders[sender];
    this.origin = Object.freeze({ from: this.from });
  }

  #unpack(length) {
    const from = this.#at;
    this.#at += length;
    try {
      this.value = decode(this.#bytes.subarray(from, this.#at));
    } catch (error) {
      this.kind = KIND.unreadable;
      this.value = error.message;
    }
  }

  /** Copies, since a message that is kept must not keep all that came with it. */
  #copy(length) {
    const from = this.#at;
    const to = from + length;
    this.#at = to;
    if (length > PIECE / 2) return Buffer.from(this.#bytes.subarray(from, to));
    if (to > this.#pieceTo) this.#copyPiece(from);
    return Buffer.from(this.#memory, this.#origin + from, length);
  }

  #copyPiece(from) {
    const piece = Buffer.from(this.#bytes.subarray(from, from + PIECE));
    this.#memory = piece.buffer;
    this.#origin = piece.byteOffset - from;
    this.#pieceTo = from + piece.length;
  }
}

/** A content that is MessagePack. */
class Packed {
  constructor(packed) {
    this.packed = packed;
  }
}

/** A value as it is sent: bytes as they are, a value that holds bytes as MessagePack, everything else as JSON. */
function contentOf(value) {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  return bytesOf(value) ?? (holdsBytes(value) ? new Packed(encode(value)) : JSON.stringify(value) ?? 'null');
}

/** The content that this process sends itself. The sender may change its bytes afterwards. */
function kept(content) {
  return Buffer.isBuffer(content) ? Buffer.from(content) : content;
}

/** How many bytes a content has. */
function lengthOf(content) {
  return content instanceof Packed ? content.packed.length : Buffer.byteLength(content);
}

/** A batch of what this process sends itself: of each message its sender, its first elements and its content. */
function batchOf(messages) {
  const heads = [];
  const senders = [];
  const elements = [];
  const bytes = [];
  for (const { from, first = [], content, missed } of messages) {
    if (senders.at(-1) !== from) senders.push(from);
    const sender = (senders.length - 1) << KIND_BITS;
    elements.push(...first.map((element) => JSON.stringify(element)));
    if (missed !== undefined) {
      heads.push(sender | KIND.missed, 0);
      elements.push(missed);
    } else if (typeof content === 'string') {
      heads.push(sender | KIND.json, 0);
      elements.push(content);
    } else {
      heads.push(sender | (content instanceof Packed ? KIND.packed : KIND.bytes), lengthOf(content));
      bytes.push(content instanceof Packed ? content.packed : content);
    }
  }
  return { heads, senders, text: `[${elements.join()}]`, bytes: Buffer.concat(bytes) };
}

const NO_MESSAGES = new Batch({ senders: [] });

module.exports = { Batch, KIND, NO_MESSAGES, batchOf, contentOf, kept, lengthOf };
