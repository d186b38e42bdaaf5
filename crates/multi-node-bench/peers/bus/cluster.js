'use strict';
// node:cluster: the primary sends each message to each of seven workers.

const cluster = require('node:cluster');
const { BYTES, Counted, SUBSCRIBERS, messages } = require('./work.js');

if (cluster.isPrimary) {
  const workers = Array.from({ length: SUBSCRIBERS }, () => cluster.fork());
  const subscribed = workers.map((worker) => new Promise((resolve) => worker.once('message', resolve)));
  let written;
  const send = (text) => {
    written = workers.map((worker) => new Promise((resolve) => worker.send(text, resolve)));
  };
  Promise.all(subscribed).then(() => messages((sent) => send(String(sent).padEnd(BYTES)), () => Promise.all(written)));
} else {
  const counted = new Counted();
  process.on('message', (text) => counted.take(Number(text)));
  process.on('disconnect', () => process.exit());
  process.send('subscribed');
}
