'use strict';
// What a process knows of events that clients missed: it gives all of them, or says that it does not know.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Recovery, decode, encode } = require('../js/socket-io-recovery.js');

const NAMESPACE = { name: '/', sockets: new Map() };

function recovery(options = {}) {
  return new Recovery('node-9', { history: 1000, maxSessions: 10, away: 60_000, lost: 60_000, isMember: () => true, ...options });
}

/** An event of another process. */
function event(known, number, rooms = []) {
  return { n: number, at: known.now(), nsp: '/', data: { packet: { data: [`event ${number}`] }, opts: { rooms, except: [] } } };
}

const session = (known) => ({ sid: 'sid', pid: 'pid', rooms: ['sid', 'room'], data: {}, left: known.now() });
const restored = (known, offset) => known.restore(NAMESPACE, session(known), offset)?.missedPackets.map(([name]) => name) ?? null;

test('a client gets what came after its offset, whatever the order of publishers', () => {
  const [one, other] = [recovery(), recovery()];
  const offsets = [1, 2, 3].map((number) => one.received(event(one, number), 'node-1'));
  one.received(event(one, 1, ['room']), 'node-2');
  one.received(event(one, 2, ['elsewhere']), 'node-2');
  assert.deepEqual(restored(one, offsets[1]), ['event 3', 'event 1']);
  // Another process got node-2's first: what the client of `one` has seen is the same.
  other.received(event(other, 1, ['room']), 'node-2');
  for (const number of [1, 2, 3]) other.received(event(other, number), 'node-1');
  assert.deepEqual(restored(other, offsets[1]), ['event 1', 'event 3']);
  assert.deepEqual(restored(other, offsets[2]), ['event 1']);
});

test('each event that was missed has an offset of its own, from which the client can go on', () => {
  const known = recovery();
  const offset = known.received(event(known, 1), 'node-1');
  for (const number of [2, 3]) known.received(event(known, number), 'node-1');
  known.received(event(known, 1), 'node-2');
  const missed = known.restore(NAMESPACE, session(known), offset).missedPackets;
  assert.deepEqual(missed.map((data) => restored(known, data.at(-1))), [['event 3', 'event 1'], ['event 1'], []]);
});

test('what was missed follows CONNECT, since clients keep what comes before it over the end of a connection', () => {
  const known = recovery();
  const offset = known.received(event(known, 1), 'node-1');
  known.received(event(known, 2), 'node-1');
  const returned = session(known);
  const missed = known.restore(NAMESPACE, returned, offset).missedPackets;
  missed.forEach(() => assert.fail('it is sent before CONNECT'));
  const sent = [];
  class Socket {
    packet({ type, data }) {
      sent.push(type === 0 ? 'connect' : data[0]);
    }
  }
  const sockets = new Map();
  known.hold({ name: NAMESPACE.name, sockets }, ['late'], { rooms: new Set(), except: new Set() });
  const socket = new Socket();
  sockets.set(returned.sid, socket);
  known.joins({ name: NAMESPACE.name, sockets }, returned.sid);
  socket.packet({ type: 0 });
  socket.packet({ type: 2, data: ['later'] });
  assert.deepEqual(sent, ['connect', missed[0][0], 'late', 'later']);
});

test('a process that lacks an event says so', () => {
  const gap = recovery();
  const offset = gap.received(event(gap, 1), 'node-1');
  gap.received(event(gap, 3), 'node-1');
  assert.equal(restored(gap, offset), null, 'a number is missing');
  const late = recovery();
  const seen = late.received(event(late, 1), 'node-1');
  late.lags('node-1');
  assert.equal(restored(late, seen), null, 'the last ones are missing');
  const small = recovery({ history: 10 });
  const first = small.received(event(small, 1), 'node-1');
  for (let number = 2; number <= 40; number += 1) small.received(event(small, number), 'node-1');
  assert.equal(restored(small, first), null, 'it had to make room');
  const fresh = recovery();
  fresh.counted({ n: 7, last: fresh.now() }, 'node-1');
  assert.equal(restored(fresh, encode(fresh.now(), new Map([['node-1', 5]]))), null, 'it came later');
  assert.deepEqual(restored(fresh, encode(fresh.now(), new Map([['node-1', 7]]))), []);
});

test('a newcomer is told about processes that have ended, however short the history', () => {
  const [old, fresh] = [recovery({ history: 10 }), recovery({ history: 10, isMember: (id) => id !== 'node-1' })];
  old.received(event(old, 1, ['elsewhere']), 'node-1');
  // Only these are left in the topic's history.
  for (let number = 1; number <= 11; number += 1) old.received(event(old, number), 'node-2');
  const offset = old.received(event(old, 12), 'node-2');
  for (let number = 11; number <= 13; number += 1) fresh.remember(event(fresh, number), 'node-2');
  assert.equal(restored(fresh, offset), null, 'nobody has told it how many events node-1 had sent');
  const ended = recovery({ isMember: (id) => id === 'node-9' });
  ended.received(event(ended, 1), 'node-1');
  fresh.counted(ended.count(), 'node-3');
  assert.deepEqual(restored(fresh, offset), ['event 13']);
  const more = encode(fresh.now(), new Map([['node-1', 0], ['node-2', 12]]));
  assert.equal(restored(fresh, more), null, 'one event of node-1 is missing here');
  for (const wrong of [null, 7, [7], [['node-7']], [['node-7', 'x', 1]], [null]]) fresh.counted({ n: 0, last: 0, ended: wrong }, 'node-3');
});

test('a process that is behind what a client has seen catches up first', async () => {
  const known = recovery({ isMember: (id) => id === 'node-1' });
  known.received(event(known, 1), 'node-1');
  const ahead = encode(known.now(), new Map([['node-1', 3]]));
  let isThere = false;
  const waiting = known.hasCaughtUp(ahead).then((caught) => [caught, isThere]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  known.received(event(known, 2), 'node-1');
  isThere = true;
  known.received(event(known, 3), 'node-1');
  assert.deepEqual(await waiting, [true, true]);
  assert.equal(await known.hasCaughtUp(encode(known.now(), new Map([['node-1', 9]]))), false, 'not within five seconds');
  assert.equal(await known.hasCaughtUp(encode(known.now(), new Map([['node-2', 9]]))), true, 'it has ended, and sends no more');
  assert.equal(await known.hasCaughtUp('anything'), true);
});

test('what a killed process had sent to its clients alone, before it came here, does not come to them twice', () => {
  const known = recovery({ isMember: () => false });
  known.received(event(known, 1), 'node-1');
  assert.deepEqual(restored(known, encode(known.now(), new Map([['node-1', 3]]))), []);
  assert.deepEqual([2, 3, 4].map((number) => known.whoHasSeen('/', 'node-1', number)), [['sid'], ['sid'], []]);
  assert.deepEqual([known.whoHasSeen('/', 'node-2', 2), known.whoHasSeen('/other', 'node-1', 2)], [[], []]);
  known.leaves(NAMESPACE, 'sid');
  assert.deepEqual(known.whoHasSeen('/', 'node-1', 2), []);
});

test('no offset goes back behind what a client has seen of a killed process', () => {
  const known = recovery({ isMember: () => false });
  const seenOf = (offset) => decode(offset).seen.get('node-1');
  known.received(event(known, 1), 'node-1');
  const missed = known.received(event(known, 1), 'node-2');
  restored(known, encode(known.now(), new Map([['node-1', 3]])));
  assert.equal(seenOf(known.received(event(known, 2), 'node-2')), 3, 'another process may have it, and would send it again');
  assert.equal(seenOf(known.restore(NAMESPACE, session(known), missed).missedPackets[0].at(-1)), 3);
  // What comes late is known without a gap.
  assert.deepEqual([2, 3, 4].map((number) => seenOf(known.received(event(known, number), 'node-1'))), [3, 3, 4]);
  assert.deepEqual(restored(known, encode(known.now(), new Map([['node-1', 2], ['node-2', 2]]))), ['event 3', 'event 4']);
});

test('who ended long ago is in no offset', () => {
  const known = recovery({ isMember: (id) => id === 'node-2' });
  const old = (number, age) => ({ ...event(known, number), at: known.now() - age });
  known.received(old(1, 31_000), 'node-1');
  known.received(old(1, 31_000), 'node-2');
  known.received(old(1, 20_000), 'node-3');
  assert.deepEqual([...decode(known.received(event(known, 1), 'node-4')).seen.keys()], ['node-2', 'node-3', 'node-4']);
  // An event of that time, which a client gets later, does name it.
  const before = encode(known.now() - 40_000, new Map());
  const [first] = known.restore(NAMESPACE, session(known), before).missedPackets;
  assert.ok(decode(first.at(-1)).seen.has('node-1'));
});

test('sessions are bounded, expire and are forgotten', (t) => {
  const warned = t.mock.method(process, 'emitWarning', () => undefined);
  const known = recovery({ maxSessions: 2 });
  for (const pid of ['a', 'b', 'c']) known.keepSession('/', { ...session(known), pid });
  assert.deepEqual(['a', 'b', 'c'].map((pid) => known.session('/', pid)?.pid), [undefined, 'b', 'c']);
  assert.equal(warned.mock.callCount(), 1);
  known.dropSession('/', 'b');
  assert.equal(known.session('/', 'b'), undefined);
  known.keepSession('/', { ...session(known), pid: 'old', left: known.now() - 60_001 });
  assert.equal(known.session('/', 'old'), undefined);
  assert.equal(known.session('/other', 'c'), undefined);
});

test('offsets of clients may be anything', () => {
  const seen = new Map([['node-12', 345], ['master', 6]]);
  assert.deepEqual(decode(encode(123_456_789, seen)), { at: 123_456_789, seen });
  const known = recovery();
  for (const text of ['', ';', 'x', 'zz;1:', 'zz;:1', '1;1:1,'.repeat(10_000), 'constructor', '__proto__;1:1', '\0']) assert.equal(restored(known, text), null, text);
});
