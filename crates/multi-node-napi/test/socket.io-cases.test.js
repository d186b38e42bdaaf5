'use strict';
// The cases of the tests of `@socket.io/cluster-adapter` 0.2.2, which are not in its package, over this adapter: three nodes with a client each.
// The master is a fourth server, without clients.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program, until } = require('./program.js');
const { SOURCE, clients, heard, settled } = require('./socket.io-clients.js');

const ids = (all) => all.map(({ id }) => id).sort();
const answering = (all, answer) => all.forEach((each, at) => each.socket.on('asked', (...args) => answer(at, args.at(-1))));
const texts = ({ told }, pattern) => told.map(([, text]) => text).filter((text) => pattern.test(text));
const isIn = async (each, room) => (await each.act('rooms')).includes(room);
const areIn = (all, room) => Promise.all(all.map((each) => isIn(each, room)));

const MORE = `
  act.rooms = (socket) => [...socket.rooms];
  act.leaveIn = (socket, room, other) => void io.in(room).socketsLeave(other);
  act.say = (socket) => void io.emit("told", nodes.id, "bytes", "2", Buffer.from([1, 2]));
  act.inNamespace = () => void io.of("/custom").emit("told", nodes.id, "custom");
  io.of("/custom");
  act.ackCount = (socket, room, time) => new Promise((resolve) => io.to(room).timeout(time).emit("asked", (error, answers) => resolve([Boolean(error), answers])));
  let mute = false;
  act.mute = () => void (mute = true);
  io.on("askAll", (done) => mute || done(nodes.id));
  act.askAll = (socket) => new Promise((resolve) => io.serverSideEmit("askAll", (error, answers) => resolve([error && error.message, answers])));
`;

/** Each with clients of its own, which leave behind it. */
const CASES = {
  'broadcast: to all clients': async (all) => {
    await all[0].act('say');
    for (const each of all) {
      await heard(each, 'bytes');
      assert.deepEqual(each.told, [[all[0].id, 'bytes', '2', Buffer.from([1, 2])]]);
    }
  },
  'broadcast: to all clients in a namespace': async (all) => {
    const there = all.map(({ socket, id }) => ({ socket: socket.io.socket('/custom'), told: [], id }));
    for (const each of there) each.socket.on('told', (...args) => each.told.push(args));
    await until('all in the namespace', () => there.every(({ socket }) => socket.connected));
    await all[0].act('inNamespace');
    for (const each of there) await heard(each, 'custom');
    await settled(all[0], all);
    for (const each of all) assert.deepEqual(texts(each, /custom/), []);
  },
  'broadcast: to all clients in a room': async (all) => {
    await all[1].act('join', 'room1');
    await all[0].act('emit', 'room1', 'in room1');
    await heard(all[1], 'in room1');
    await settled(all[0], all);
    assert.deepEqual(all.map((each) => texts(each, /room1/).length), [0, 1, 0]);
  },
  'broadcast: to all clients except those in a room': async (all) => {
    await all[1].act('join', 'room1');
    await all[0].act('except', 'room1', 'not in room1');
    await settled(all[0], all);
    assert.deepEqual(all.map((each) => texts(each, /room1/).length), [1, 0, 1]);
  },
  'broadcast: to local clients only': async (all) => {
    await all[0].act('local', 'local');
    await settled(all[0], all);
    assert.deepEqual(all.map((each) => texts(each, /local/).length), [1, 0, 0]);
  },
  'broadcast: with multiple acknowledgements': async (all) => {
    answering(all, (at, done) => done(at));
    assert.deepEqual((await all[0].act('acks', null)).sort(), [0, 1, 2]);
  },
  'broadcast: with multiple acknowledgements of binary content': async (all) => {
    answering(all, (at, done) => done(Buffer.from([at])));
    assert.deepEqual((await all[0].act('acks', null)).map((bytes) => bytes[0]).sort(), [0, 1, 2]);
  },
  'broadcast: with multiple acknowledgements, no client': async (all) => {
    assert.deepEqual(await all[0].act('ackCount', 'nobody', 3000), [false, []]);
  },
  'broadcast: with multiple acknowledgements, timeout': async (all) => {
    answering(all, (at, done) => at !== 2 && done(at));
    for (const each of all) await each.act('join', 'room1');
    const [hasFailed, answers] = await all[0].act('ackCount', 'room1', 500);
    assert.deepEqual([hasFailed, answers.sort()], [true, [0, 1]]);
  },
  'socketsJoin: all sockets join a room': async (all) => {
    await all[0].act('joinAll', null, 'room1');
    await settled(all[0], all);
    assert.deepEqual(await areIn(all, 'room1'), [true, true, true]);
  },
  'socketsJoin: those that match join a room': async (all) => {
    for (const each of [all[0], all[2]]) await each.act('join', 'room1');
    await all[0].act('joinAll', 'room1', 'room2');
    await settled(all[0], all);
    assert.deepEqual(await areIn(all, 'room2'), [true, false, true]);
  },
  'socketsLeave: all sockets leave a room': async (all) => {
    for (const each of [all[0], all[2]]) await each.act('join', 'room1');
    await all[0].act('leaveAll', 'room1');
    await settled(all[0], all);
    assert.deepEqual(await areIn(all, 'room1'), [false, false, false]);
  },
  'socketsLeave: those that match leave a room': async (all) => {
    for (const room of ['room1', 'room2']) await all[0].act('join', room);
    await all[2].act('join', 'room2');
    await all[0].act('leaveIn', 'room1', 'room2');
    await settled(all[0], all);
    assert.deepEqual(await areIn(all, 'room2'), [false, false, true]);
  },
  'disconnectSockets: all sockets disconnect': async (all) => {
    const reasons = [];
    for (const { socket } of all) socket.on('disconnect', (reason) => reasons.push(reason));
    for (const each of all) await each.act('join', 'room1');
    all[0].socket.emit('act', 'disconnectAll', ['room1']);
    await until('all to be disconnected', () => reasons.length === 3);
    assert.deepEqual(new Set(reasons), new Set(['io server disconnect']));
  },
  'fetchSockets: all sockets': async (all) => {
    const sockets = await all[0].act('sockets', null);
    assert.deepEqual(sockets.map(({ of }) => of).sort(), ids(all));
  },
  'serverSideEmit: an event to the other servers': async (all, server) => {
    await all[0].act('server', 'hello', 1);
    const lines = () => server.output.match(/^\S+ between \["hello",1\]$/gm) ?? [];
    await until('all others', () => lines().length === 3);
    assert.ok(!lines().some((line) => line.startsWith(`${all[0].id} `)));
  },
  'serverSideEmit: an event and the responses of the other servers': async (all) => {
    const [error, answers] = await all[0].act('askAll');
    assert.deepEqual([error, answers.sort()], [null, ['master', all[1].id, all[2].id].sort()]);
  },
  'serverSideEmit: a timeout if one server does not respond': async (all) => {
    await all[2].act('mute');
    const [error, answers] = await all[0].act('askAll');
    assert.deepEqual([error, answers.sort()], ['timeout reached: missing 1 responses', ['master', all[1].id].sort()]);
  },
};

test('what @socket.io/cluster-adapter is tested for', async (t) => {
  const server = await program(t, SOURCE({ nodes: 3, more: MORE }));
  assert.equal(Object.keys(CASES).length, 18);
  for (const [name, run] of Object.entries(CASES)) {
    await t.test(name, async (t) => {
      const all = await clients(t, server, 3);
      await until('those of the last case to be gone', async () => (await all[0].act('sockets', null)).length === 3);
      await run(all, server);
    });
  }
  assert.equal(await server.stop(), 0);
});
