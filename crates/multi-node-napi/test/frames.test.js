'use strict';
// Whole messages on a stream.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const { test } = require('node:test');
const { frameStream } = require('..');

/** Both ends of a connection. */
async function pair(t) {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const left = net.connect(server.address().port, '127.0.0.1');
  const [right] = await once(server, 'connection');
  t.after(() => [left, right, server].forEach((each) => each.destroy?.() ?? each.close()));
  return [left, right];
}

for (const text of ['a', 'ä', 'ÿ', '€', '\0\n']) {
  test(`the bytes are those of the original, with ${JSON.stringify(text)}`, async (t) => {
    const [left, right] = await pair(t);
    const frames = frameStream(left);
    frames.send({ text });
    frames.send([1]);
    const [bytes] = await once(right, 'data');
    const messages = [JSON.stringify({ text }), '[1]'].map((json) => [Buffer.of(0), Buffer.from(json), Buffer.of(0xff)]);
    assert.deepEqual(bytes, Buffer.concat(messages.flat()));
  });
}

test('messages come whole, however their bytes come', async (t) => {
  const [left, right] = await pair(t);
  const heard = [];
  frameStream(right).on('message', (value) => heard.push(value));
  left.setNoDelay(true);
  const values = [{ text: 'x'.repeat(70_000) }, null, 0, 'two', [{ deep: true }], 'ÿ€'.repeat(20_000), 'ä'];
  const bytes = Buffer.concat(values.flatMap((value) => [Buffer.of(0), Buffer.from(JSON.stringify(value)), Buffer.of(0xff)]));
  for (let from = 0; from < bytes.length; from += 9_999) {
    left.write(bytes.subarray(from, from + 9_999));
    await new Promise(setImmediate);
  }
  left.end();
  await once(right, 'end');
  assert.deepEqual(heard, values);
});

for (const [what, bytes] of [
  ['something else than frames', Buffer.from('{"a":1}\xff', 'latin1')],
  ['no JSON', Buffer.from('\0{\xff', 'latin1')],
  ['the end of a frame in the middle of one', Buffer.from('\0"a\xffb"\xff', 'latin1')],
  ['too much in a frame', Buffer.from(`\0"${'a'.repeat(200)}"\xff`, 'latin1')],
  ['too much', Buffer.concat([Buffer.of(0), Buffer.alloc(200, 0x20)])],
]) {
  test(`a stream that carries ${what} is ended`, async (t) => {
    const [left, right] = await pair(t);
    left.on('error', () => undefined);
    const frames = frameStream(right, { limit: 100 });
    const failed = once(frames, 'error');
    left.write(bytes);
    const error = await failed;
    assert.equal(error[0].code, 'ERR_MULTI_NODE_FRAME');
    assert.ok(right.destroyed);
  });
}
