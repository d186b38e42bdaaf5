'use strict';

module.exports = async ({ listening, net, once }) => {
  const aborts = new AbortController();
  const server = await listening(net.createServer(), { port: 0, signal: aborts.signal });
  const closes = once(server, 'close');
  aborts.abort();
  await closes;
  return server.listening;
};
