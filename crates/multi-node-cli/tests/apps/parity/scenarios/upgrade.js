'use strict';

module.exports = async ({ closed, http, listening, once }) => {
  const server = await listening(http.createServer(), 0);
  server.on('upgrade', (_, socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'));
  const request = http.get({ port: server.address().port, host: '127.0.0.1', headers: { connection: 'upgrade', upgrade: 'echo' } });
  const [{ statusCode }, socket] = await once(request, 'upgrade');
  socket.destroy();
  await closed(server);
  return statusCode;
};
