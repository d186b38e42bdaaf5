'use strict';

module.exports = async ({ closed, listening, net, codeOf }) => {
  const server = await listening(net.createServer(), 0);
  const before = server.listening;
  await closed(server);
  const again = await new Promise((resolve) => server.close((error) => resolve(error && codeOf(error))));
  return [before, server.listening, server.address(), again];
};
