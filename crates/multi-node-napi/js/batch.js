'use strict';
// Messages cross from the library many at a time: one JSON array, and the bytes of those that are no JSON.

const { bytesOf, decode, encode, holdsBytes } = require('./message-pack.js');

/** The kinds of content. */
const KIND = { json: 0, bytes: 1, unreadable: 2, missed: 3, packed: 4 };

/** Small contents of bytes are parts of pieces of this size, as small Buffers are of Node's pool: one that is kept keeps no more. */
const PIECE = 8 << 10;

/** What has come, as elements of a fixed number for each message. */
class Batch {
  #bytes;
  #at = 0;
  #piece = Buffer.alloc(0);
  #pieceFrom = 0;

  constructor({ text, bytes }) {
    this.elements = JSON.parse(text);
    this.#bytes = bytes;
  }

  /** The `value` of a content, or in `why` the reason for which it cannot be read. To be asked in order. */
  read(kind, content) {
    if (kind === KIND.json) return { value: content, why: undefined };
    if (kind === KIND.unreadable) return { value: undefined, why: content };
    const from = this.#at;
    this.#at += content;
    if (kind === KIND.packed) return unpacked(this.#bytes?.subarray(from, this.#at) ?? Buffer.alloc(0));
    return { value: this.#copy(from, this.#at), why: undefined };
  }

  /** Copies, since a message that is kept must not keep all that came with it. */
  #copy(from, to) {
    if (to - from > PIECE / 2) return Buffer.from(this.#bytes.subarray(from, to));
    if (to > this.#pieceFrom + this.#piece.length) {
      this.#piece = Buffer.from(this.#bytes.subarray(from, from + PIECE));
      this.#pieceFrom = from;
    }
    return this.#piece.subarray(from - this.#pieceFrom, to - this.#pieceFrom);
  }
}

function unpacked(bytes) {
  try {
    return { value: decode(bytes), why: undefined };
  } catch (error) {
    return { value: undefined, why: error.message };
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

/** A batch of what this process sends itself: each message's first elements as JSON without brackets, and its content. */
function batchOf(messages) {
  const elements = messages.map(({ head, content }) => {
    if (typeof content === 'string') return `${head},${KIND.json},${content}`;
    return content === undefined ? head : `${head},${content instanceof Packed ? KIND.packed : KIND.bytes},${lengthOf(content)}`;
  });
  const bytes = messages.map(({ content }) => (content instanceof Packed ? content.packed : content)).filter(Buffer.isBuffer);
  return { text: `[${elements.join()}]`, bytes: Buffer.concat(bytes) };
}

module.exports = { Batch, KIND, batchOf, contentOf, kept, lengthOf };
