'use strict';
// A shop of Express, express-session and socket.io as its users would write it, for the test of deploys: events with numbers go to rooms, and
// who is logged in is known at every node. It says what must not happen: `stranger`, `unrecovered`, `refused`.

const http = require('node:http');
const express = require('express');
const session = require('express-session');
const { Server } = require('socket.io');
const { listen } = require('@multi-node/server');
const { SessionStore } = require('@multi-node/server/session');
const { createAdapter, drain } = require('@multi-node/server/socket.io');

const { PORT, ROOMS, RATE } = process.env;
const app = express();
const server = http.createServer(app);
const io = new Server(server, { connectionStateRecovery: {} });
const nodes = listen({ port: Number(PORT), nodes: 4, affinity: { query: 'sid' } }, server);
io.adapter(createAdapter(nodes));
drain(io, nodes, { within: 500 });

const sessions = session({ store: new SessionStore(nodes), secret: 'x', resave: false, saveUninitialized: false });
app.use(sessions);
io.engine.use(sessions);

app.get('/login/:name', (request, response, next) =>
  request.session.regenerate((error) => {
    if (error) return next(error);
    request.session.name = request.params.name;
    response.send('welcome');
  }),
);
app.get('/', ({ session: { name } }, response) => response.send(`${name ?? 'nobody'} ${process.pid}`));
app.post('/visit', ({ session: of }, response) => {
  of.visits = (of.visits ?? 0) + 1;
  response.send(`${of.name ?? 'nobody'} ${of.visits}`);
});

io.engine.on('connection_error', ({ message, req }) => console.log('refused', message, req.method, req.url));
io.on('connection', (socket) => {
  const { name } = socket.request.session;
  if (name !== socket.handshake.auth.name) console.log('stranger', name, socket.handshake.auth.name);
  if (socket.recovered) return;
  if (socket.handshake.auth.returns) console.log('unrecovered', socket.handshake.auth.name);
  socket.join(`room-${socket.handshake.auth.room}`);
});

/** The last number that each room got of this process, while events are asked for. */
const last = new Array(Number(ROOMS)).fill(0);
const STEP = 10;
let due = 0;
let at = 0;
function publish() {
  for (due += (RATE * STEP) / 1000; due >= 1; due -= 1) {
    io.to(`room-${at}`).emit('event', nodes.id, (last[at] += 1));
    at = (at + 1) % last.length;
  }
}

let timer;
const wanted = nodes.topic('publish', { history: 1 });
wanted.on('message', (isWanted) => {
  clearInterval(timer);
  if (isWanted && !nodes.isMaster) timer = setInterval(publish, STEP);
});
nodes.respond('last', () => last);
nodes.on('close', () => console.log('last', nodes.id, JSON.stringify(last)));

/** What the test tells the master. */
const COMMANDS = {
  publish: () => wanted.publish(true),
  rest: () => wanted.publish(false),
  reload: () => nodes.reload().then(() => console.log('reloaded')),
  tell: async () => {
    for (const [id, { value }] of await nodes.requestAll('last')) if (value) console.log('last', id, JSON.stringify(value));
    console.log('told');
  },
  pids: async () => console.log('pids', JSON.stringify((await nodes.status()).slots.map(({ pid }) => pid))),
};
if (nodes.isMaster) {
  nodes.ready().then(() => console.log('ready'));
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => COMMANDS[line]());
}
