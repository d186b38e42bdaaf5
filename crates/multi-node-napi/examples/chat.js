'use strict';
// A chat by WebSocket: four nodes (worker processes) serve one port, and all visitors talk in one room.
// Run `npm install @multi-node/server ws` and `node chat.js`, then connect twice with `npx wscat -c ws://localhost:8080`.

const http = require('node:http');
const { WebSocketServer } = require('ws');
const { listen } = require('@multi-node/server');

const server = http.createServer((request, response) => response.end('Connect by WebSocket.\n'));
const nodes = listen({ port: 8080, nodes: 4 }, server);

// Each process keeps the last 50 messages. A new node gets them from another.
const room = nodes.topic('room', { history: 50 });

new WebSocketServer({ server }).on('connection', (socket) => {
  socket.on('message', (text) => room.publish(String(text)));
  tell(socket).catch((error) => socket.close(1011, error.code));
});

/** Sends a visitor the recent messages, and those that come, until it leaves. */
async function tell(socket) {
  const messages = room[Symbol.asyncIterator]();
  socket.on('close', () => messages.return());
  for await (const { value, from, missed } of messages) {
    socket.send(missed ? `(${missed} messages of ${from} are missing here)` : `${from}: ${value}`);
  }
}
