// Asks for streams to its siblings, says its pid on each, and answers with its own and theirs; the last word is its pid.
const siblings = new Map();
process.on('message', (message, socket) => {
  if (message.multiNode !== 'peer') return;
  socket.write(`${process.pid}`);
  socket.on('data', (pid) => siblings.set(message.id, String(pid)));
  socket.on('error', () => {}).on('close', () => siblings.delete(message.id));
});
process.send('multi-node:peers');

let datagrams = 'none';
require('dgram').createSocket('udp4').on('error', ({ code }) => (datagrams = code)).bind(0);

require('http')
  .createServer((_, response) => response.end(`datagrams ${datagrams} siblings ${[...siblings.values()].join(' ')} own ${process.pid}`))
  .listen(3000);
