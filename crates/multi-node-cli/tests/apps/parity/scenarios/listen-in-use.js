'use strict';

module.exports = async ({ closed, codeOf, listening, net, once }) => {
  const other = await listening(net.createServer(), { port: 0, exclusive: true });
  const { port } = other.address();
  const server = net.createServer().listen(port);
  const [error] = await once(server, 'error');
  const found = [codeOf(error), error.port === port, error.address, server.listening];
  await closed(other);
  return found;
};
