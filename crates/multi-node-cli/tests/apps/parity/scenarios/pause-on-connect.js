'use strict';

module.exports = async ({ ask, closed, listening, net }) => {
  const paused = [];
  const answers = (socket) => {
    paused.push(socket.isPaused());
    socket.on('data', (data) => socket.end(data));
    setTimeout(() => socket.resume(), 20);
  };
  const server = await listening(net.createServer({ pauseOnConnect: true }, answers), 0);
  const found = [await ask(server.address().port, 'said', { end: false }), ...paused];
  await closed(server);
  return found;
};
