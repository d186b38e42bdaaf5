'use strict';

module.exports = async ({ closed, listening, net, once }) => {
  const server = await listening(net.createServer({ pauseOnConnect: true }), 0);
  const client = net.connect(server.address().port, '127.0.0.1');
  const [socket] = await once(server, 'connection');
  const error = await new Promise((resolve) => process.send('a handle', socket, resolve));
  const after = await new Promise((resolve) => process.send('a message', resolve));
  client.destroy();
  await closed(server);
  return [error, after];
};
