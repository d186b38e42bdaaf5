'use strict';
// Requests with the id of a client that this process does not know.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { reconnectStrays } = require('../js/socket-io-polls.js');

/** What becomes of such a request: what is answered, `null` where socket.io goes on. */
function answered({ method = 'GET', transport = 'polling', upgrade, owns = true, changed = 60_000, sid = 'unknown' }) {
  let middleware;
  let answer = null;
  const engine = { clients: { known: {} }, use: (used) => (middleware = used) };
  reconnectStrays(engine, { owns: () => owns }, { changedAt: Date.now() - changed });
  const end = (text) => (answer = text);
  const request = { method, headers: { upgrade }, _query: { sid, transport }, resume: () => undefined, socket: { end } };
  middleware(request, { setHeader: () => undefined, end }, () => undefined);
  return answer;
}

test('a client that the owner of its id does not know connects again', () => {
  assert.equal(answered({}), '1');
  assert.equal(answered({ method: 'POST' }), 'ok');
  assert.match(answered({ transport: 'websocket', upgrade: 'websocket' }), /^HTTP\/1\.1 503 /, 'it goes on by long polling');
});

test('so does one whose request comes elsewhere while processes come and go', () => {
  assert.equal(answered({ owns: false, changed: 100 }), '1');
  assert.match(answered({ owns: null, changed: 100, transport: 'websocket', upgrade: 'websocket' }), /^HTTP\/1\.1 503 /);
});

test('where affinity does not work that shows', () => {
  assert.equal(answered({ owns: false }), null);
  assert.equal(answered({ owns: false, transport: 'websocket', upgrade: 'websocket' }), null);
  assert.equal(answered({ sid: 'known' }), null);
  assert.equal(answered({ sid: null }), null);
});
