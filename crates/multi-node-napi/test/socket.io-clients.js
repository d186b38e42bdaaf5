'use strict';
// A program with socket.io over several nodes, and clients that tell its nodes what to do.

const { once } = require('node:events');
const { io } = require('socket.io-client');
const { until } = require('./program.js');

/** Each client asks its node to do something, and gets what came of it. */
const SOURCE = ({ nodes = 4, server = '', more = '' }) => `
  const { Server } = require("socket.io");
  const { createAdapter, drain } = require("@multi-node/server/socket.io");
  const http = require("http").createServer();
  const io = new Server(http, { transports: ["websocket"] ${server} });
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: ${nodes}, drainTimeout: 10000 }, http);
  io.adapter(createAdapter(nodes));
  drain(io, nodes, { within: 500 });
  const act = {
    id: () => nodes.id,
    join: (socket, room) => socket.join(room),
    emit: (socket, room, ...args) => void (room ? io.to(room) : io).emit("told", nodes.id, ...args),
    except: (socket, room, ...args) => void io.except(room).emit("told", nodes.id, ...args),
    local: (socket, ...args) => void io.local.emit("told", nodes.id, ...args),
    others: (socket, ...args) => void socket.broadcast.emit("told", nodes.id, ...args),
    acks: (socket, room, ...args) => (room ? io.to(room) : io).timeout(3000).emitWithAck("asked", ...args).catch(({ message, responses }) => [message, ...responses]),
    sockets: async (socket, room) => (await (room ? io.in(room) : io).fetchSockets()).map(({ id, data, rooms }) => ({ id, of: data.of, rooms: [...rooms] })),
    count: () => io.of("/").adapter.serverCount(),
    joinAll: (socket, room, other) => void (room ? io.in(room) : io).socketsJoin(other),
    leaveAll: (socket, room) => void io.socketsLeave(room),
    disconnectAll: (socket, room) => void io.in(room).disconnectSockets(),
    server: (socket, ...args) => void io.serverSideEmit("between", ...args),
    serverAck: (socket, ...args) => new Promise((resolve) => io.serverSideEmit("betweenAck", ...args, (error, answers) => resolve([error && error.message, ...answers]))),
    pid: () => process.pid,
  };
  const answer = async (socket, name, args, done) => done(await act[name](socket, ...args));
  io.on("connection", (socket) => {
    socket.data.of = nodes.id;
    socket.on("act", (name, args, done) => answer(socket, name, args, done ?? (() => undefined)));
  });
  io.on("between", (...args) => console.log(nodes.id, "between", JSON.stringify(args)));
  io.on("betweenAck", (value, done) => value === nodes.id || done(nodes.id + " " + Buffer.isBuffer(value)));
  if (nodes.isMaster) nodes.ready().then(() => console.log("ready"));
  process.on("SIGUSR2", () => nodes.isMaster && nodes.reload().then(() => console.log("reloaded")));
  ${more}
`;

/** A client, and what it has heard. */
async function client(t, { port }, path = '', options = {}) {
  const socket = io(`ws://127.0.0.1:${port}${path}`, { transports: ['websocket'], forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
  // Sockets of other namespaces would keep the connection, and make it again without an end.
  t.after(() => {
    socket.io.reconnection(false);
    socket.disconnect();
    socket.io.engine?.close();
  });
  const told = [];
  socket.on('told', (...args) => told.push(args));
  await once(socket, 'connect');
  return { socket, told, act: (name, ...args) => socket.emitWithAck('act', name, args) };
}

/** Clients at different nodes, one each. */
async function clients(t, server, count) {
  await server.says(/^ready/m);
  const found = new Map();
  const connect = async () => {
    const made = await client(t, server);
    const id = await made.act('id');
    if (!found.has(id)) found.set(id, Object.assign(made, { id }));
    else made.socket.disconnect();
    return found.size >= count;
  };
  await until(`clients at ${count} nodes`, connect);
  // All processes know each other, the master too.
  await until('all members', async () => (await Promise.all([...found.values()].map(({ act }) => act('count')))).every((number) => number === count + 1));
  return [...found.values()];
}

const heard = (client, text) => until(`${client.id} to be told ${text}`, () => client.told.find((args) => args.includes(text)));

/** Waits until what was published before has been handled everywhere: messages of one process keep their order. */
async function settled(by, all) {
  const mark = `mark ${Math.random()}`;
  await by.act('emit', null, mark);
  for (const each of all) await heard(each, mark);
}

module.exports = { SOURCE, client, clients, heard, settled };
