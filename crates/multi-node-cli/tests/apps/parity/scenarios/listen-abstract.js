'use strict';

module.exports = async ({ closed, get, hello, http, listening }) => {
  const path = `\0parity-${process.pid}`;
  const server = await listening(http.createServer(hello), path);
  const found = [server.address() === path, await get(path)];
  await closed(server);
  return found;
};
