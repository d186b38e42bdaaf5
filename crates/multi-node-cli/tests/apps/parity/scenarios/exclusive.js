'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening, net, outcome }) => {
  const port = await freePort();
  const server = await listening(http.createServer(hello), { port, exclusive: true });
  const found = [await get(port), await outcome(net.createServer(), { port, exclusive: true })];
  await closed(server);
  return [...found, await get(port)];
};
