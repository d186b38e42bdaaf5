'use strict';

module.exports = ({ closed, net }) =>
  new Promise((resolve) => {
    const order = [];
    const server = net.createServer();
    server.once('listening', () => order.push('event'));
    server.listen(0, async () => {
      order.push('callback');
      await closed(server);
      resolve(order);
    });
    process.nextTick(() => order.push('tick', server.listening));
    order.push('returned', server.listening);
  });
