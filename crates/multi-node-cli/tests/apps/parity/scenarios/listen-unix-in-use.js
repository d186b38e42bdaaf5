'use strict';

module.exports = async ({ closed, freePath, listening, net, outcome }) => {
  const path = freePath();
  const server = await listening(net.createServer(), { path, exclusive: true });
  const found = await outcome(net.createServer(), path);
  await closed(server);
  return found;
};
