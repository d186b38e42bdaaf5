'use strict';

const dgram = require('node:dgram');

module.exports = async ({ once }) => {
  const socket = dgram.createSocket('udp4');
  socket.bind({ port: 0, address: '127.0.0.1', exclusive: true });
  await once(socket, 'listening');
  const { port } = socket.address();
  const sender = dgram.createSocket('udp4');
  sender.send('datagram', port, '127.0.0.1');
  const [message] = await once(socket, 'message');
  socket.close();
  sender.close();
  return String(message);
};
