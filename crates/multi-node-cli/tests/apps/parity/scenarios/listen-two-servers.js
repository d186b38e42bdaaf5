'use strict';

module.exports = async ({ closed, freePort, listening, net, outcome }) => {
  const port = await freePort();
  const server = await listening(net.createServer(), port);
  const found = await outcome(net.createServer(), port);
  await closed(server);
  return found;
};
