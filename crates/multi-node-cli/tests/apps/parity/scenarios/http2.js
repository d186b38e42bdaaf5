'use strict';

const http2 = require('node:http2');

module.exports = async ({ closed, listening, once }) => {
  const server = await listening(http2.createServer((_, response) => response.end('hello')), 0);
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`);
  const stream = session.request();
  const [headers] = await once(stream, 'response');
  const found = [headers[':status'], (await stream.toArray()).join('')];
  session.close();
  await closed(server);
  return found;
};
