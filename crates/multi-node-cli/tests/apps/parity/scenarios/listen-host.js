'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const port = await freePort();
  const server = await listening(http.createServer(hello), port, '127.0.0.1');
  const { address, family } = server.address();
  const found = [address, family, await get(port), await get({ host: '127.0.0.2', port })];
  await closed(server);
  return found;
};
