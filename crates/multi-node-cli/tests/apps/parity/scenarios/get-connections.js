'use strict';

module.exports = async ({ closed, listening, net, once }) => {
  const server = await listening(net.createServer(), 0);
  const clients = [0, 1].map(() => net.connect(server.address().port, '127.0.0.1'));
  await once(server, 'connection');
  if ((await count(server)) < 2) await once(server, 'connection');
  const found = await count(server);
  clients.forEach((client) => client.destroy());
  await closed(server);
  return [found, await count(server)];
};

function count(server) {
  return new Promise((resolve) => server.getConnections((_, number) => resolve(number)));
}
