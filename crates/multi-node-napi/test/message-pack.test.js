'use strict';
// Values that hold bytes, as MessagePack: what is sent arrives, and what peers may send harms nobody.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { decode, encode, holdsBytes } = require('../js/message-pack.js');
const { Batch, KIND, batchOf, contentOf } = require('../js/batch.js');

/** What another process reads of a value that this one sends. */
function across(value) {
  const batch = new Batch(batchOf([{ from: 'node-1', content: contentOf(value) }]));
  assert.ok(batch.advance() && !batch.isUnreadable);
  return batch.value;
}

test('bytes anywhere in a value arrive as Buffers, and the rest as by JSON', () => {
  const numbers = [0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -128, -129, -32769, -(2 ** 31) - 1, 0.5, -1e300];
  const texts = ['', 'h\u00e9', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(70_000)];
  const lists = [[], Array(15).fill(1), Array(16).fill(1), Array(70_000).fill(1)];
  const object = Object.fromEntries(Array.from({ length: 20 }, (_, number) => [`key${number}`, number]));
  const value = { numbers, texts, lists, object, yes: true, no: false, nothing: null, bytes: Buffer.from([0, 255]) };
  assert.deepEqual(across(value), value);
  assert.deepEqual(across([Buffer.alloc(300, 1), Buffer.alloc(70_000, 2), Buffer.alloc(0)]), [Buffer.alloc(300, 1), Buffer.alloc(70_000, 2), Buffer.alloc(0)]);
});

test('what JSON changes or leaves out is changed or left out beside bytes too', () => {
  const odd = { undefined: undefined, call: () => 1, list: [undefined, () => 1, NaN], date: new Date(0), infinite: Infinity, nested: { toJSON: () => ({ a: 1 }) } };
  const { bytes, ...others } = across({ ...odd, bytes: Buffer.from('b') });
  assert.deepEqual(bytes, Buffer.from('b'));
  assert.deepEqual(others, JSON.parse(JSON.stringify(odd)));
  const circle = { bytes: Buffer.from('b') };
  circle.circle = circle;
  assert.throws(() => contentOf(circle), TypeError);
  assert.throws(() => contentOf({ big: 1n, bytes: Buffer.from('b') }), TypeError);
  const pure = {};
  pure.circle = pure;
  assert.throws(() => contentOf(pure), TypeError);
});

test('typed arrays, views and array buffers are bytes', () => {
  const { buffer } = new Uint8Array([1, 2, 3, 4]);
  const views = [new Uint8Array(buffer, 1, 2), new DataView(buffer, 2), new Uint16Array(buffer), buffer];
  const read = [[2, 3], [3, 4], [1, 2, 3, 4], [1, 2, 3, 4]].map((bytes) => Buffer.from(bytes));
  assert.deepEqual(views.map(across), read);
  assert.deepEqual(across({ views }), { views: read });
  assert.ok(!holdsBytes([{ a: null }, 'text', { toJSON: () => 1, bytes: buffer }]));
});

test('values are read as the library of Rust writes them', () => {
  // The same text stands in the tests of `multi-node-bus`, which write it.
  const written = '85a56279746573c40200ffa47061697292cd0104ca3f000000a46e6f6e65c0a962795f6e756d6265728107a5736576656ea36e6567d1ff00';
  assert.deepEqual(decode(Buffer.from(written, 'hex')), {
    bytes: Buffer.from([0, 255]), pair: [260, 0.5], none: null, by_number: { 7: 'seven' }, neg: -256,
  });
});

test('values are written as the library of Rust reads them', () => {
  // The same text stands in the tests of `multi-node-bus`, which read it.
  const value = { bytes: new Uint8Array([0, 255]), pair: [260, 0.5], by_name: { seven: 7 }, neg: -256 };
  assert.equal(encode(value).toString('hex'), '84a56279746573c5000200ffa47061697292ce00000104cb3fe0000000000000a762795f6e616d6581a5736576656e07a36e6567d2ffffff00');
});

test('no bytes of a peer do more than give an error', () => {
  const wrong = ['', 'c1', '92', 'dd7fffffff', 'dfffffffff', 'c6ffffffff00', 'dbffffffff', 'c0c0', '81c0', '8190c0', 'd40100', 'c7', '91'.repeat(5000)];
  for (const bytes of wrong) assert.throws(() => decode(Buffer.from(bytes, 'hex')), Error, bytes);
  const proto = decode(encode(JSON.parse('{"__proto__":{"polluted":true}}')));
  assert.equal(proto.polluted, undefined);
  assert.deepEqual(Object.keys(proto), ['__proto__']);
  for (let seed = 1; seed <= 20_000; seed += 1) {
    const bytes = Buffer.from(Array.from({ length: 12 }, (_, at) => Math.imul(seed * 31 + at, 2654435761) >>> 24));
    try {
      decode(bytes);
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  }
  const batch = new Batch({ heads: [KIND.packed, 1], senders: ['node-1'], bytes: Buffer.from([0xc1]) });
  assert.ok(batch.advance() && batch.isUnreadable);
  assert.match(batch.value, /cannot be read/);
});
