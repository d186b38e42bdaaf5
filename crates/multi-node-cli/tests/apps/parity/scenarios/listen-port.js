'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const port = await freePort();
  const server = await listening(http.createServer(hello), port);
  const found = [server.address().port === port, await get(port)];
  await closed(server);
  return found;
};
