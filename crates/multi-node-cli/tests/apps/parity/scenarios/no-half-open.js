'use strict';

module.exports = async ({ ask, closed, listening, net }) => {
  const answers = (socket) => socket.resume().on('error', () => undefined).on('end', () => setTimeout(() => socket.end('late answer'), 50));
  const server = await listening(net.createServer(answers), 0);
  const found = await ask(server.address().port, 'question');
  await closed(server);
  return found;
};
