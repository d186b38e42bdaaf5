'use strict';

module.exports = async ({ closed, get, hello, http, listening }) => {
  const server = await listening(http.createServer(hello), 0);
  server.unref();
  const found = [await get(server.address().port)];
  server.ref();
  found.push(await get(server.address().port));
  await closed(server);
  return found;
};
