'use strict';
// MessagePack, for values that hold bytes, which JSON cannot carry.

/** How deep values may lie in each other, as in the library. */
const MOST_DEPTH = 128;

/** The bytes of a Buffer, a typed array, a DataView or an ArrayBuffer, without a copy; undefined for anything else. */
function bytesOf(value) {
  if (Buffer.isBuffer(value)) return value;
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? Buffer.from(value) : undefined;
}

/** Whether bytes lie somewhere in a value. `above` are the objects around it: JSON refuses circles. Each message goes through here. */
function holdsBytes(value, above = []) {
  if (typeof value !== 'object' || value === null) return false;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return true;
  if (typeof value.toJSON === 'function') return holdsBytes(value.toJSON(), above);
  if (above.includes(value)) return false;
  above.push(value);
  const found = partsHoldBytes(value, above);
  above.pop();
  return found;
}

function partsHoldBytes(value, above) {
  for (const key in value) {
    const part = value[key];
    if (typeof part === 'object' && part !== null && Object.hasOwn(value, key) && holdsBytes(part, above)) return true;
  }
  return false;
}

/** The value as MessagePack. What JSON changes or leaves out is changed or left out here too. */
function encode(value) {
  const writer = new Writer();
  writer.value(value, '', 0);
  return writer.bytes;
}

class Writer {
  #buffer = Buffer.allocUnsafe(256);
  #at = 0;

  get bytes() {
    return this.#buffer.subarray(0, this.#at);
  }

  value(given, key, depth) {
    if (depth > MOST_DEPTH) throw new TypeError(`the value is nested more than ${MOST_DEPTH} deep, or in a circle`);
    const bytes = bytesOf(given);
    if (bytes !== undefined) return this.#binary(bytes);
    const value = typeof given?.toJSON === 'function' ? given.toJSON(key) : given;
    switch (typeof value) {
      case 'string':
        return this.#text(value);
      case 'number':
        return this.#number(value);
      case 'boolean':
        return this.#byte(value ? 0xc3 : 0xc2);
      case 'bigint':
        throw new TypeError('a BigInt cannot be sent');
      case 'object':
        if (value !== null) return this.#composite(value, depth);
    }
    this.#byte(0xc0);
  }

  #composite(value, depth) {
    if (bytesOf(value) !== undefined) return this.value(value, '', depth);
    if (Array.isArray(value)) {
      this.#length(value.length, 0x90, 15, 0xdc);
      value.forEach((each, at) => this.value(each, String(at), depth + 1));
      return;
    }
    const keys = Object.keys(value).filter((key) => !['undefined', 'function', 'symbol'].includes(typeof value[key]));
    this.#length(keys.length, 0x80, 15, 0xde);
    for (const key of keys) {
      this.#text(key);
      this.value(value[key], key, depth + 1);
    }
  }

  #number(value) {
    if (!Number.isFinite(value)) return this.#byte(0xc0);
    if (!Number.isSafeInteger(value)) return this.#put(0xcb, 8, (buffer, at) => buffer.writeDoubleBE(value, at));
    if (value >= 0) return this.#whole(value);
    if (value >= -32) return this.#byte(value + 256);
    if (value >= -0x8000_0000) return this.#put(0xd2, 4, (buffer, at) => buffer.writeInt32BE(value, at));
    return this.#put(0xd3, 8, (buffer, at) => buffer.writeBigInt64BE(BigInt(value), at));
  }

  #whole(value) {
    if (value < 128) return this.#byte(value);
    if (value <= 0xffff_ffff) return this.#put(0xce, 4, (buffer, at) => buffer.writeUInt32BE(value, at));
    return this.#put(0xcf, 8, (buffer, at) => buffer.writeBigUInt64BE(BigInt(value), at));
  }

  #text(text) {
    const length = Buffer.byteLength(text);
    if (length < 32) this.#byte(0xa0 | length);
    else this.#length(length, 0, -1, 0xda);
    this.#room(length);
    this.#buffer.write(text, this.#at);
    this.#at += length;
  }

  #binary(bytes) {
    this.#length(bytes.length, 0, -1, 0xc5);
    this.#room(bytes.length);
    bytes.copy(this.#buffer, this.#at);
    this.#at += bytes.length;
  }

  /** A length: with its type in one byte up to `most`, else in two bytes after `tag`, or in four after the tag that follows. */
  #length(length, short, most, tag) {
    if (length <= most) this.#byte(short | length);
    else if (length <= 0xffff) this.#put(tag, 2, (buffer, at) => buffer.writeUInt16BE(length, at));
    else this.#put(tag + 1, 4, (buffer, at) => buffer.writeUInt32BE(length, at));
  }

  #byte(byte) {
    this.#room(1);
    this.#buffer[this.#at] = byte;
    this.#at += 1;
  }

  #put(tag, length, write) {
    this.#byte(tag);
    this.#room(length);
    write(this.#buffer, this.#at);
    this.#at += length;
  }

  #room(length) {
    if (this.#at + length <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + length));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** The value of one MessagePack message, with Buffers for its binary data. Throws where it is none: peers may send anything. */
function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.left > 0) throw new Error('bytes follow the value');
  return value;
}

class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get left() {
    return this.#bytes.length - this.#at;
  }

  value(depth) {
    if (depth > MOST_DEPTH) throw new Error(`the value is nested more than ${MOST_DEPTH} deep`);
    const tag = this.#whole(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 15, depth);
    if (tag < 0xa0) return this.#array(tag & 15, depth);
    if (tag < 0xc0) return this.#text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    return this.#tagged(tag, depth);
  }

  #tagged(tag, depth) {
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
      case 0xc3:
        return tag === 0xc3;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        // A copy, so that a value that is kept does not keep all that came with it.
        return Buffer.from(this.#slice(this.#whole(1 << (tag - 0xc4))));
      case 0xca:
        return this.#slice(4).readFloatBE(0);
      case 0xcb:
        return this.#slice(8).readDoubleBE(0);
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#whole(1 << (tag - 0xcc));
      case 0xcf:
        return Number(this.#slice(8).readBigUInt64BE(0));
      case 0xd0:
      case 0xd1:
      case 0xd2:
        return this.#slice(1 << (tag - 0xd0)).readIntBE(0, 1 << (tag - 0xd0));
      case 0xd3:
        return Number(this.#slice(8).readBigInt64BE(0));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#whole(1 << (tag - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#whole(2 << (tag - 0xdc)), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#whole(2 << (tag - 0xde)), depth);
    }
    throw new Error(`a value of the MessagePack type ${tag} cannot be read`);
  }

  #whole(length) {
    return this.#slice(length).readUIntBE(0, length);
  }

  #slice(length) {
    if (length > this.left) throw new Error('the value is cut short');
    const from = this.#at;
    this.#at += length;
    return this.#bytes.subarray(from, this.#at);
  }

  #text(length) {
    return this.#slice(length).toString('utf8');
  }

  #array(length, depth) {
    // Each element takes a byte at least.
    if (length > this.left) throw new Error('the value is cut short');
    const array = [];
    for (let at = 0; at < length; at += 1) array.push(this.value(depth + 1));
    return array;
  }

  #map(length, depth) {
    const object = {};
    for (let at = 0; at < length; at += 1) {
      const key = this.value(depth + 1);
      if (typeof key === 'object' && key !== null) throw new Error('a key of a map is no text');
      const value = this.value(depth + 1);
      // As JSON does it, so that no message changes a prototype.
      if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
      else object[key] = value;
    }
    return object;
  }
}

module.exports = { bytesOf, decode, encode, holdsBytes };
