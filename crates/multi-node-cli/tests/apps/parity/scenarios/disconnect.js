'use strict';

const cluster = require('node:cluster');

module.exports = async ({ hello, http, listening, once }) => {
  const server = await listening(http.createServer(hello), 0);
  const command = [];
  server.once('close', () => command.push('server closed'));
  const disconnected = once(process, 'disconnect');
  cluster.worker.disconnect();
  await disconnected;
  return [...command, cluster.worker.exitedAfterDisconnect, cluster.worker.isConnected(), process.connected];
};
