'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const port = await freePort();
  const server = await listening(http.createServer(hello), { port, backlog: 64 });
  const found = await Promise.all(Array.from({ length: 8 }, () => get(port)));
  await closed(server);
  return found;
};
