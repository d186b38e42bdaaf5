// `clients.js URL COUNT address|header`: clients of socket.io with default transports, each from another address or with another header. It
// prints by what and where they are connected, and again when all have come back after a line on its standard input.
const { once } = require('node:events');
const { Agent } = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');
const { io } = require('socket.io-client');

const [url, count, by] = process.argv.slice(2);
const errors = [];
const sockets = Array.from({ length: Number(count) }, (_, at) => {
  const other = by === 'address' ? { agent: new Agent({ localAddress: `127.0.0.${10 + at}` }) } : { extraHeaders: { 'x-user': `user-${at}` } };
  const socket = io(url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...other });
  socket.on('connect_error', ({ message }) => errors.push(message));
  return socket;
});
const isUp = ({ connected, io: { engine } }) => connected && engine.transport.name === 'websocket';

async function report(isDone) {
  while (!sockets.every(isDone) || !sockets.every(isUp)) await sleep(10);
  const pids = await Promise.all(sockets.map((socket) => socket.timeout(5000).emitWithAck('who')));
  console.log(JSON.stringify({ connected: pids.length, processes: new Set(pids).size, errors: errors.splice(0) }));
}

(async () => {
  await report(() => true);
  const left = new Set();
  for (const socket of sockets) socket.once('disconnect', () => left.add(socket));
  await once(process.stdin, 'data');
  await report((socket) => left.has(socket));
  process.exit();
})();
