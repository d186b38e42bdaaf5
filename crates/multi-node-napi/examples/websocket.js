// WebSockets that are closed with a notice before their node ends: `node websocket.js`. After a reload the clients reconnect to other nodes.
const { createServer } = require('node:http');
const { WebSocketServer } = require('ws');
const { listen } = require('@multi-node/server');

const server = createServer();
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`${process.pid}: ${data}`)));

const nodes = listen({ port: 8080, nodes: 4, drainTimeout: 30_000 }, server);
nodes.on('drain', () => {
  // Not all at once, so that they do not come back all at once.
  for (const socket of sockets.clients) setTimeout(() => socket.close(1012, 'restart'), Math.random() * 5000);
});
