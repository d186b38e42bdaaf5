'use strict';

module.exports = async ({ closed, get, hello, http, listening }) => {
  const server = await listening(http.createServer(hello), 0);
  const { address, family, port } = server.address();
  const found = [address, family, port > 0, await get(port)];
  await closed(server);
  return found;
};
