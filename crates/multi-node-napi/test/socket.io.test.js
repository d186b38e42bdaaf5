'use strict';
// socket.io over several nodes, with real clients.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const { io } = require('socket.io-client');
const { program, until } = require('./program.js');
const { SOURCE, client, clients, heard, settled } = require('./socket.io-clients.js');

test('with affinity clients with default transports and clients of long polling connect, also after a reload', async (t) => {
  const source = SOURCE({}).replace('transports: ["websocket"]', '').replace('nodes: 4', 'nodes: 4, affinity: { query: "sid" }');
  const server = await program(t, source);
  await server.says(/^ready/m);
  const connect = async (at) => {
    const made = await client(t, server, '', { transports: at % 2 === 0 ? ['polling', 'websocket'] : ['polling'] });
    return { ...made, at, id: await made.act('id') };
  };
  const all = await Promise.all(Array.from({ length: 20 }, (_, at) => connect(at)));
  assert.ok(new Set(all.map(({ id }) => id)).size > 1, 'several nodes have some');
  for (const each of all) assert.equal(await each.act('id'), each.id);
  server.kill('SIGUSR2');
  await server.says(/^reloaded/m);
  for (const each of all) {
    const isElsewhere = async () => each.socket.connected && (await each.socket.timeout(5000).emitWithAck('act', 'id', []).catch(() => each.id)) !== each.id;
    await until('a client to connect to a new node', isElsewhere);
  }
  assert.equal(await server.stop(), 0);
});

test('events reach rooms, all but rooms, and other nodes, with their bytes and in their order', async (t) => {
  const server = await program(t, SOURCE({}));
  const all = await clients(t, server, 4);
  const [one, two, three, four] = all;
  await one.act('emit', null, 'all', { bytes: Buffer.from([0, 255]), list: [new Uint8Array([7])] });
  for (const each of all) {
    const args = await heard(each, 'all');
    assert.deepEqual(args, [one.id, 'all', { bytes: Buffer.from([0, 255]), list: [Buffer.from([7])] }]);
  }
  await two.act('join', 'room');
  await four.act('join', 'room');
  await one.act('emit', 'room', 'in room');
  await one.act('except', 'room', 'out of room');
  await one.act('local', 'here');
  await one.act('others', 'others');
  await settled(one, all);
  const texts = (each) => each.told.map(([, text]) => text).filter((text) => !/^(mark|all)/.test(text));
  assert.deepEqual(texts(one), ['out of room', 'here']);
  assert.deepEqual(texts(two), ['in room', 'others']);
  assert.deepEqual(texts(three), ['out of room', 'others']);
  assert.deepEqual(texts(four), ['in room', 'others']);
  for (let number = 0; number < 200; number += 1) three.socket.emit('act', 'emit', ['room', number]);
  await settled(three, all);
  assert.deepEqual(two.told.map(([, number]) => number).filter((number) => typeof number === 'number'), Array.from({ length: 200 }, (_, number) => number));
  assert.equal(await server.stop(), 0);
});

test('acknowledgements, sockets, rooms and events between servers span all nodes', async (t) => {
  const server = await program(t, SOURCE({}));
  const all = await clients(t, server, 4);
  const [one, two, three] = all;
  for (const each of all) each.socket.on('asked', (value, done) => done(Buffer.concat([value, Buffer.from(each.id)])));
  const acks = await one.act('acks', null, Buffer.from('to '));
  assert.deepEqual(acks.map(String).sort(), all.map(({ id }) => `to ${id}`).sort());
  assert.deepEqual(await one.act('acks', 'nobody', 1), []);
  const sockets = await one.act('sockets', null);
  assert.deepEqual(sockets.map(({ of }) => of).sort(), all.map(({ id }) => id).sort());
  assert.deepEqual(sockets.map(({ id }) => id).sort(), all.map(({ socket }) => socket.id).sort());

  // In the order in which they were asked for, without a pause.
  await one.act('joinAll', null, 'everybody');
  assert.equal((await one.act('sockets', 'everybody')).length, 4);
  await two.act('join', 'few');
  await three.act('join', 'few');
  await one.act('joinAll', 'few', 'more');
  assert.deepEqual((await one.act('sockets', 'more')).map(({ of }) => of).sort(), [two.id, three.id].sort());
  await one.act('leaveAll', 'few');
  assert.deepEqual(await one.act('sockets', 'few'), []);
  await one.act('server', 'text', { bytes: Buffer.from('b') });
  for (const id of ['master', ...all.slice(1).map((each) => each.id)]) {
    await server.says(new RegExp(`^${id} between \\["text",{"bytes":{"type":"Buffer","data":\\[98\\]}}\\]`, 'm'));
  }
  assert.ok(!server.output.includes(`${one.id} between`));
  const [error, ...answers] = await one.act('serverAck', Buffer.from('b'));
  assert.equal(error, null);
  assert.deepEqual(answers.sort(), ['master true', ...all.slice(1).map(({ id }) => `${id} true`)].sort());
  assert.equal((await one.act('serverAck', two.id))[0], 'timeout reached: missing 1 responses');
  const left = once(two.socket, 'disconnect');
  await one.act('disconnectAll', 'more');
  assert.equal((await left)[0], 'io server disconnect');
  assert.equal(await server.stop(), 0);
});

test('namespaces are apart, and a process that lacks one is not waited for', async (t) => {
  const server = await program(t, SOURCE({
    more: `
      io.of(/^.room-/).on("connection", (socket) => {
        socket.on("say", (text) => socket.nsp.emit("told", text));
        socket.on("count", async (done) => done((await socket.nsp.fetchSockets()).length));
        socket.on("ask", async (done) => done(await socket.nsp.timeout(3000).emitWithAck("asked").catch(String)));
      });
    `,
  }));
  const [main] = await clients(t, server, 4);
  const [one, other] = [await client(t, server, '/room-1'), await client(t, server, '/room-2')];
  one.socket.on('asked', (done) => done('one'));
  const began = Date.now();
  assert.equal(await one.socket.emitWithAck('count'), 1);
  assert.deepEqual(await one.socket.emitWithAck('ask'), ['one']);
  assert.ok(Date.now() - began < 2500, 'at once');
  one.socket.emit('say', 'in one');
  other.socket.emit('say', 'in two');
  await until('both', () => one.told.length > 0 && other.told.length > 0);
  assert.deepEqual([one.told, other.told, main.told.filter(([text]) => /^in/.test(text))], [[['in one']], [['in two']], []]);
  assert.equal(await server.stop(), 0);
});

test('a node that is killed is gone at once, and requests under way are answered without it', async (t) => {
  const server = await program(t, SOURCE({ more: 'act.hang = () => { require("fs").writeSync(1, "hangs\\n"); const end = Date.now() + 60000; while (Date.now() < end); };' }));
  const [one, two, ...others] = await clients(t, server, 4);
  const pid = await two.act('pid');
  for (const each of [one, ...others]) each.socket.on('asked', (done) => done(each.id));
  // It answers nothing any more, until it is killed.
  two.socket.emit('act', 'hang', []);
  await server.says(/^hangs/m);
  const pending = [one.act('sockets', null), one.act('acks', null), one.act('serverAck', 1)];
  // What one client asks for is begun in its order.
  await one.act('id');
  process.kill(pid, 'SIGKILL');
  const killed = Date.now();
  const [sockets, acks, [error, ...answers]] = await Promise.all(pending);
  const took = Date.now() - killed;
  assert.deepEqual(sockets.map(({ of }) => of).sort(), [one, ...others].map(({ id }) => id).sort());
  assert.deepEqual([...acks].sort(), [one, ...others].map(({ id }) => id).sort());
  assert.deepEqual([error, answers.length], [null, 3]);
  assert.ok(took < 2000, `${took} ms`);
  t.diagnostic(`answered ${took} ms after the kill`);
  assert.equal(await server.stop(), 0);
});

/** Clients that recover, each all in one room, and the numbers that they have heard, by their publisher. */
async function numbered(t, server, count) {
  const made = await Promise.all(Array.from({ length: count }, () => client(t, server)));
  for (const each of made) {
    Object.assign(each, { recovered: [], seen: new Map(), wrong: [] });
    each.socket.on('connect', () => each.recovered.push(each.socket.recovered));
    each.socket.on('number', (publisher, number) => {
      const due = (each.seen.get(publisher) ?? number - 1) + 1;
      if (number !== due) each.wrong.push(`${publisher}: ${number}, and ${due} was due`);
      each.seen.set(publisher, number);
    });
    await each.act('join', 'numbers');
  }
  return made;
}

const NUMBERS = {
  server: ', connectionStateRecovery: { maxDisconnectionDuration: 60000 }',
  more: `
    let number = 0;
    const publish = () => io.to("numbers").emit("number", nodes.id, ++number, Buffer.alloc(8));
    let timer;
    act.publish = () => void (timer ??= setInterval(publish, 5));
    if (nodes.isMaster) process.on("SIGWINCH", () => (timer = timer ? void clearInterval(timer) : setInterval(publish, 5)));
    act.last = () => number;
    const closes = [];
    io.on("connection", (socket) => socket.conn.on("close", () => nodes.isMaster || console.log("closed", nodes.id, Date.now())));
    nodes.on("drain", () => console.log("drains", nodes.id, Date.now()));
    nodes.on("close", () => console.log("last", nodes.id, number));
  `,
};

/** With a middleware that takes its time, events come between a client's return and its connection. */
const SLOW = {
  server: ', connectionStateRecovery: { maxDisconnectionDuration: 60000, skipMiddlewares: false }',
  more: `${NUMBERS.more} io.use((socket, next) => setTimeout(next, 50));`,
};

for (const [how, numbers] of [['', NUMBERS], [' through a slow middleware', SLOW]]) {
  test(`a reload costs clients that recover no event${how}, and none comes twice`, (t) => reloads(t, numbers));
}

async function reloads(t, numbers) {
  const server = await program(t, SOURCE({ nodes: 3, ...numbers }));
  await server.says(/^ready/m);
  const all = await numbered(t, server, 12);
  // The master publishes all the time, and so do the nodes until they end.
  server.kill('SIGWINCH');
  for (const each of all) await each.act('publish');
  for (let reload = 1; reload <= 2; reload += 1) {
    server.kill('SIGUSR2');
    await until('the reload', () => server.output.match(/^reloaded/gm)?.length === reload);
    await until('all clients', () => all.every(({ socket, recovered }) => socket.connected && recovered.length >= reload));
    for (const each of all) await each.act('publish');
  }
  server.kill('SIGWINCH');
  const count = () => Math.max(...all.map(({ seen }) => seen.get('master')));
  let last = 0;
  await until('the last number of the master', async () => {
    const before = last;
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 200));
    return last === before && all.every(({ seen }) => seen.get('master') === last);
  });
  assert.deepEqual(all.flatMap(({ wrong }) => wrong), []);
  assert.ok(all.every(({ recovered }) => recovered.every(Boolean)), JSON.stringify(all.map(({ recovered }) => recovered)));
  // Of the nodes of the first generations, everybody has the last number.
  for (const [, id, number] of server.output.matchAll(/^last (node-[1-6]) (\d+)$/gm)) {
    for (const { seen } of all) assert.equal(seen.get(id) ?? 0, Number(number), id);
  }
  t.diagnostic(`${all.length} clients, ${last} events of the master each, ${new Set(all.flatMap(({ seen }) => [...seen.keys()])).size} publishers`);
  assert.equal(await server.stop(), 0);
}

test('a client that is back before its process has noticed recovers, and its old connection ends', async (t) => {
  const server = await program(t, SOURCE({ nodes: 2, ...NUMBERS }));
  await server.says(/^ready/m);
  const [first] = await numbered(t, server, 1);
  await first.act('publish');
  await until('a number', () => first.seen.size > 0);
  let { socket } = first;
  socket.io.reconnection(false);
  const { id } = socket;
  const nodes = new Set();
  for (let times = 0; times < 20 && nodes.size < 2; times += 1) {
    const ended = once(socket, 'disconnect');
    // What the client would send from another network.
    const next = await client(t, server, '', { auth: { pid: socket._pid, offset: socket._lastOffset }, reconnection: false });
    assert.equal(next.socket.id, id);
    await ended;
    nodes.add(await next.act('id'));
    await once(next.socket, 'number');
    ({ socket } = next);
  }
  assert.equal(await server.stop(), 0);
});

test('a client that goes again while it recovers can recover, and is in its rooms', async (t) => {
  const server = await program(t, SOURCE({ nodes: 2, ...SLOW }));
  await server.says(/^ready/m);
  const [first] = await numbered(t, server, 1);
  await first.act('publish');
  await until('a number', () => first.seen.size > 0);
  const { id, _pid: pid } = first.socket;
  first.socket.io.reconnection(false);
  first.socket.io.engine.close();
  const auth = { pid, offset: first.socket._lastOffset };
  for (let times = 0; times < 10; times += 1) {
    const goes = io(`ws://127.0.0.1:${server.port}`, { transports: ['websocket'], forceNew: true, reconnection: false, auth });
    goes.io.on('open', () => setTimeout(() => goes.io.engine.close(), 20));
    await once(goes.io, 'close');
  }
  const { socket } = await client(t, server, '', { auth, reconnection: false });
  assert.equal(socket.id, id);
  // What is left of the earlier attempts ends meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await once(socket, 'number', { signal: AbortSignal.timeout(5000) });
  assert.equal(await server.stop(), 0);
});

test('in a drain the clients of a node end one after the other, and those of other nodes stay', async (t) => {
  const server = await program(t, SOURCE({ nodes: 2, ...NUMBERS }));
  await server.says(/^ready/m);
  const all = await Promise.all(Array.from({ length: 24 }, () => client(t, server)));
  const of = new Map();
  for (const each of all) of.set(each, await each.act('id'));
  const reconnects = new Map(all.map((each) => [each, 0]));
  for (const each of all) each.socket.on('connect', () => reconnects.set(each, reconnects.get(each) + 1));
  const pid = await all[0].act('pid');
  process.kill(pid, 'SIGTERM');
  const drained = of.get(all[0]);
  const [, at] = await server.says(new RegExp(`^drains ${drained} (\\d+)`, 'm'));
  const mine = all.filter((each) => of.get(each) === drained);
  await until('the clients of that node to come back', () => mine.every(({ socket }) => socket.connected) && mine.every((each) => reconnects.get(each) === 1));
  const times = [...server.output.matchAll(new RegExp(`^closed ${drained} (\\d+)$`, 'gm'))].map(([, time]) => Number(time) - Number(at));
  assert.equal(times.length, mine.length);
  assert.ok(Math.max(...times) - Math.min(...times) > 150, `closed after ${times} ms`);
  for (const each of all) assert.equal(reconnects.get(each), of.get(each) === drained ? 1 : 0);
  assert.equal(await server.stop(), 0);
});

test('a process that serves alone has the same', async (t) => {
  const server = await program(t, SOURCE({ nodes: 0, ...NUMBERS }));
  await server.says(/^ready/m);
  const [one] = await numbered(t, server, 1);
  assert.deepEqual([await one.act('count'), (await one.act('sockets', null)).length, await one.act('serverAck', 1)], [1, 1, [null]]);
  await one.act('publish');
  await until('a number', () => one.seen.get('master') > 3);
  one.socket.io.engine.close();
  await until('the client to come back', () => one.recovered.length === 1);
  const before = one.seen.get('master');
  await until('further numbers', () => one.seen.get('master') > before + 10);
  assert.deepEqual([one.recovered, one.wrong], [[true], []]);
  assert.equal(await server.stop(), 0);
});
