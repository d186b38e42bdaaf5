'use strict';

module.exports = async ({ closed, get, hello, http, listening, net, once }) => {
  const other = await listening(net.createServer(), { port: 0, exclusive: true });
  const server = http.createServer(hello).listen(other.address().port);
  await once(server, 'error');
  await closed(other);
  await listening(server, 0);
  const found = await get(server.address().port);
  await closed(server);
  return found;
};
