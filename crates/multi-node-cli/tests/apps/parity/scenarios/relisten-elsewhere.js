'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const [first, second] = [await freePort(), await freePort()];
  const server = await listening(http.createServer(hello), first);
  await closed(server);
  await listening(server, second);
  const found = [server.address().port === second, await get(second)];
  await closed(server);
  return found;
};
