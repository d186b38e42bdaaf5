'use strict';
// The Node.js package: the master publishes on a topic, and its nodes subscribe.

const { createServer } = require('node:http');
const { BYTES, Counted, SUBSCRIBERS, messages } = require('./work.js');
const { listen } = require(process.env.PACKAGE);

const server = createServer((request, response) => response.end());
const nodes = listen({ host: '127.0.0.1', port: 0, nodes: SUBSCRIBERS, control: false }, server);
const topic = nodes.topic('bench');

if (nodes.isMaster) {
  let subscribed = 0;
  nodes.respond('subscribed', () => {
    subscribed += 1;
    if (subscribed === SUBSCRIBERS) messages(publish, () => topic.room());
  });
} else {
  const counted = new Counted();
  topic.on('message', (message) => counted.take(message.readDoubleLE()));
  topic.on('lag', ({ missed }) => counted.miss(missed));
  topic.subscribed.then(() => nodes.request('subscribed', null, { to: 'master' }));
}

function publish(sent) {
  const message = Buffer.alloc(BYTES);
  message.writeDoubleLE(sent);
  topic.publish(message);
}
