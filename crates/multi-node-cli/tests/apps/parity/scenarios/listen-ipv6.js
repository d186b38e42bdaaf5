'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const port = await freePort();
  const server = await listening(http.createServer(hello), port, '::1');
  const found = [server.address().address, await get({ host: '::1', port }), await get(port)];
  await closed(server);
  return found;
};
