'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const port = await freePort();
  const server = await listening(http.createServer(hello), port);
  const before = await get(port);
  await closed(server);
  // The primary may close it some time later, and reset what has come.
  const after = await get(port);
  return [before, after === 'ECONNRESET' ? await get(port) : after];
};
