'use strict';

const cluster = require('node:cluster');

module.exports = async () => {
  const { worker } = cluster;
  return [
    [cluster.isWorker, cluster.isPrimary, cluster.isMaster, typeof cluster.fork, typeof cluster.workers],
    [worker.id > 0, worker.isConnected(), worker.isDead(), worker.exitedAfterDisconnect, worker.process === process],
    [process.connected, typeof process.send, typeof process.channel, process.env.NODE_CHANNEL_FD],
    [process.env.NODE_UNIQUE_ID, process.stdin.isTTY === undefined],
  ];
};
