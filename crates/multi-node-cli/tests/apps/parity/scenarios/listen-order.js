'use strict';

module.exports = ({ closed, net }) =>
  new Promise((resolve) => {
    const command = [];
    const server = net.createServer();
    server.once('listening', () => command.push('event'));
    server.listen(0, async () => {
      command.push('callback');
      await closed(server);
      resolve(command);
    });
    process.nextTick(() => command.push('tick', server.listening));
    command.push('returned', server.listening);
  });
