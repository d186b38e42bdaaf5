'use strict';
// Messages cross from the library many at a time: one JSON array, and the bytes of those that are no JSON.

/** The kinds of content. */
const KIND = { json: 0, bytes: 1, unreadable: 2, missed: 3 };

/** What has come, as elements of a fixed number for each message. */
class Batch {
  #bytes;
  #at = 0;

  constructor({ text, bytes }) {
    this.elements = JSON.parse(text);
    this.#bytes = bytes;
  }

  /** The value of a content that can be read. To be asked in order. */
  value(kind, content) {
    if (kind !== KIND.bytes) return content;
    if (content === 0) return Buffer.alloc(0);
    const from = this.#at;
    this.#at += content;
    // A copy, so that one message that is kept does not keep them all.
    return Buffer.from(this.#bytes.subarray(from, this.#at));
  }
}

/** A value as it is sent: bytes as they are, everything else as JSON. */
function contentOf(value) {
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return JSON.stringify(value) ?? 'null';
}

module.exports = { Batch, KIND, contentOf };
