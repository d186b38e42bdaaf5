'use strict';

module.exports = async ({ closed, listening, net, once }) => {
  const server = await listening(net.createServer(), 0);
  server.maxConnections = 1;
  const { port } = server.address();
  const first = net.connect(port, '127.0.0.1');
  await once(server, 'connection');
  const second = net.connect(port, '127.0.0.1').on('error', () => undefined);
  // Under node:cluster as under `run` the primary offers it to others, where there are some.
  const ended = await Promise.race([once(second.resume(), 'close').then(() => 'closed'), new Promise((resolve) => setTimeout(resolve, 500, 'waits'))]);
  first.destroy();
  second.destroy();
  await closed(server);
  return ended;
};
