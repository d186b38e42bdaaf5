'use strict';

module.exports = async ({ closed, freePort, get, hello, http, listening }) => {
  const port = await freePort();
  const server = http.createServer(hello);
  const found = [];
  for (let time = 0; time < 3; time += 1) {
    await listening(server, port);
    found.push(await get(port));
    await closed(server);
  }
  return found;
};
