'use strict';

module.exports = async ({ listening, net, once }) => {
  const server = await listening(net.createServer((socket) => socket.on('data', (data) => socket.end(data))), 0);
  const client = net.connect(server.address().port, '127.0.0.1');
  await once(server, 'connection');
  const command = [];
  server.close(() => command.push('closed'));
  client.end('last');
  command.push((await client.toArray()).join(''));
  while (command.length < 2) await new Promise(setImmediate);
  return command;
};
