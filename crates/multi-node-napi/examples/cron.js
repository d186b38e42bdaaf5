'use strict';
// Four nodes (worker processes) serve, and one of them makes a report every second.
// Run `npm install @multi-node/server` and `node cron.js`, then kill the node that says so.

const http = require('node:http');
const { setInterval } = require('node:timers/promises');
const { listen } = require('@multi-node/server');

const nodes = listen({ port: 8080, nodes: 4 }, http.createServer((request, response) => response.end('hello\n')));

// The signal aborts when this node is to end; the loop awaits the report that is being made.
nodes.leader('reports', async (signal) => {
  for await (const _ of setInterval(1000, undefined, { signal })) await makeReport();
});

async function makeReport() {
  console.log(`${nodes.id} makes a report`);
}
