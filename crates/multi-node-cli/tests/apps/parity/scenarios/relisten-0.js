'use strict';

module.exports = async ({ closed, get, hello, http, listening }) => {
  const server = await listening(http.createServer(hello), 0);
  await closed(server);
  await listening(server, 0);
  const { port } = server.address();
  const found = [port > 0, await get(port)];
  await closed(server);
  return found;
};
