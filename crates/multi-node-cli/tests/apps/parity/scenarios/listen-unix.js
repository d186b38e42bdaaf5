'use strict';

module.exports = async ({ closed, freePath, get, hello, http, listening }) => {
  const path = freePath();
  const server = await listening(http.createServer(hello), path);
  const found = [server.address() === path, await get(path)];
  await closed(server);
  return found;
};
