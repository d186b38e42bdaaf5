'use strict';

module.exports = async ({ ask, closed, listening, net }) => {
  const options = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 };
  const server = await listening(net.createServer(options, (socket) => socket.resume().end('served')), 0);
  const found = await ask(server.address().port, 'question');
  await closed(server);
  return found;
};
