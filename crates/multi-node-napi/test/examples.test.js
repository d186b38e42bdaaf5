'use strict';
// The examples, started as they are but for their port.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const WebSocket = require('ws');
const { program, until } = require('./program.js');

/** A visitor, and what it has heard. */
async function visitor(server) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}`);
  const heard = [];
  socket.on('message', (text) => heard.push(String(text)));
  await once(socket, 'open');
  return { socket, heard };
}

test('all visitors of the chat hear each other, and newcomers hear what was said', async (t) => {
  const source = fs.readFileSync(path.join(__dirname, '../examples/chat.js'), 'utf8');
  assert.ok(source.split('\n').length <= 41, 'an example that fits on a screen');
  const server = await program(t, source.replaceAll('8080', 'PORT'));
  await until('the nodes', () => server.get('/').catch(() => undefined));
  const [one, two] = [await visitor(server), await visitor(server)];
  one.socket.send('hello');
  for (const { heard } of [one, two]) await until('the message', () => heard.some((text) => text.endsWith(': hello')));
  one.socket.close();
  two.socket.send('still here');
  const late = await visitor(server);
  await until('what was said', () => late.heard.length >= 2);
  assert.deepEqual(late.heard.map((text) => text.split(': ')[1]), ['hello', 'still here']);
  assert.equal(await server.stop(), 0);
});
