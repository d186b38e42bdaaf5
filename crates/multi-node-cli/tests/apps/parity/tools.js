'use strict';
// What scenarios need again and again. Nothing of it depends on who the primary is.

const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

/** An error as what a program goes by. */
function codeOf({ code, syscall, message }) {
  return code === undefined ? { message } : { code, syscall };
}

/** Lets the server listen; resolves to it. */
async function listening(server, ...args) {
  const listens = once(server, 'listening');
  server.listen(...args);
  await listens;
  return server;
}

/** What listening ends with: "listening", or the error. */
function outcome(server, ...args) {
  return new Promise((resolve) => {
    server.once('error', (error) => resolve(codeOf(error))).once('listening', () => resolve('listening'));
    server.listen(...args);
  });
}

async function closed(server) {
  const closes = once(server, 'close');
  server.close();
  await closes;
}

let next = process.pid;

/** A free port. It is below those that the system gives to clients, whose connections would take it at any time. */
async function freePort() {
  for (;;) {
    const port = 10_000 + (next++ % 22_000);
    const server = net.createServer();
    if ((await outcome(server, { port, exclusive: true })) !== 'listening') continue;
    await closed(server);
    return port;
  }
}

/** A path that nobody has. */
function freePath() {
  return path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'parity-')), 'socket');
}

/** The body that one request is answered with, or the error's code. */
function get(to) {
  const where = typeof to === 'string' ? { socketPath: to } : { host: '127.0.0.1', ...(typeof to === 'number' ? { port: to } : to) };
  return new Promise((resolve) => {
    const request = http.get({ ...where, agent: false, timeout: 1000 }, async (response) => resolve((await response.toArray()).join('')));
    request.on('error', ({ code, message }) => resolve(code ?? message)).on('timeout', () => request.destroy(new Error('no answer')));
  });
}

/** All that a client receives after it has sent this. */
async function ask(port, said, { end = true } = {}) {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  if (end) socket.end(said);
  else socket.write(said);
  return (await socket.toArray()).join('');
}

const hello = (_, response) => response.end('hello');

module.exports = { ask, closed, codeOf, freePath, freePort, get, hello, http, listening, net, once, outcome };
