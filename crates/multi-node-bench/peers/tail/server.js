'use strict';
// What `multi-node-bench tail` measures of Node.js: `node server.js cluster|package WORKERS PORT`; PACKAGE is the package's folder.
// The first process prints a line once all workers serve.

const cluster = require('node:cluster');
const { createHash } = require('node:crypto');
const { createServer } = require('node:http');

const [kind, workers, port] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

const server = createServer((request, response) => {
  const [, work, ms] = request.url.split('/');
  if (work === 'burn') burn(Number(ms));
  if (work === 'wait') setTimeout(() => response.end('hello\n'), Number(ms));
  else response.end('hello\n');
});
server.keepAliveTimeout = 75_000;

/** A WebSocket (RFC 6455) on which nothing is said stays open until its client leaves. */
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  socket.on('error', () => socket.destroy()).on('end', () => socket.end()).resume();
});

/** Uses this much processor time. */
function burn(ms) {
  const used = (begun) => {
    const { user, system } = process.cpuUsage(begun);
    return user + system;
  };
  for (const begun = process.cpuUsage(); used(begun) < ms * 1000; );
}

function announce() {
  console.log(JSON.stringify({ port, pids: [process.pid] }));
}

function withPackage() {
  const { listen } = require(process.env.PACKAGE);
  const nodes = listen({ host: '127.0.0.1', port, nodes: workers, control: false, logToStderr: false }, server);
  if (nodes.isMaster) nodes.ready().then(announce);
}

function withCluster() {
  if (!cluster.isPrimary) return server.listen(port, '127.0.0.1');
  let listening = 0;
  cluster.on('listening', () => {
    listening += 1;
    if (listening === workers) announce();
  });
  for (let number = 0; number < workers; number += 1) cluster.fork();
}

if (kind === 'package') withPackage();
else withCluster();
