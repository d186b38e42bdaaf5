'use strict';

module.exports = async ({ closed, listening, net, once }) => {
  const server = await listening(net.createServer(), 0, '127.0.0.1');
  const { port } = server.address();
  const client = net.connect(port, '127.0.0.1');
  const [[socket]] = await Promise.all([once(server, 'connection'), once(client, 'connect')]);
  const { localAddress, localPort, remoteAddress, remotePort, remoteFamily } = socket;
  const found = [localAddress, localPort === port, remoteAddress, remotePort === client.localPort, remoteFamily, socket.server === server];
  client.destroy();
  await closed(server);
  return found;
};
