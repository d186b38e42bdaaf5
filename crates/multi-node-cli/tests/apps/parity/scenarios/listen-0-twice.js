'use strict';

module.exports = async ({ closed, get, http, listening }) => {
  const answers = (body) => listening(http.createServer((_, response) => response.end(body)), 0);
  const servers = [await answers('first'), await answers('second')];
  const [first, second] = servers.map((server) => server.address().port);
  const found = [first !== second, await get(first), await get(second)];
  await Promise.all(servers.map(closed));
  return found;
};
