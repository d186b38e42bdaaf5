'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const port = await freePort();
  const server = await listening(http.createServer(hello), port, 'localhost');
  const found = [server.address().family, await get({ host: 'localhost', port })];
  await closed(server);
  return found;
};
