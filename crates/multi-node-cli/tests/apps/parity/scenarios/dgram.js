'use strict';

const dgram = require('node:dgram');

module.exports = ({ codeOf }) =>
  new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    socket.once('error', (error) => resolve(codeOf(error)));
    socket.bind(0, '127.0.0.1', () => {
      resolve(socket.address().port > 0);
      socket.close();
    });
  });
