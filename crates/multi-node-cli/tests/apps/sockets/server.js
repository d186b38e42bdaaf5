// socket.io as its users write it, with its default transports.
const { createServer } = require('node:http');
const { Server } = require('socket.io');

const server = createServer();
const io = new Server(server);
io.engine.on('connection_error', ({ message }) => console.log('refused:', message));
io.on('connection', (socket) => socket.on('who', (answer) => answer(process.pid)));
server.listen(Number(process.env.PORT ?? 8080));
