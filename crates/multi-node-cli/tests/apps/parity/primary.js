'use strict';
// The scenarios under node:cluster: a primary that only starts the workers.

const cluster = require('node:cluster');
const path = require('node:path');

const [count, ...args] = process.argv.slice(2);
cluster.setupPrimary({ exec: path.join(__dirname, 'worker.js'), args });
// What is not closed would keep the clients of a scenario waiting.
cluster.on('message', (_, message, handle) => handle?.close?.());
for (let worker = 0; worker < Number(count); worker += 1) cluster.fork();
