// Sends every connection to its primary as a handle, in both of the ways that Node.js has, and a server; `ready` comes after these.
const net = require('net');
net.createServer((socket) => process.send('a connection', socket)).listen(0);
net
  .createServer({ pauseOnConnect: true }, (socket) => process.send('a raw handle', socket._handle, () => socket.destroy()))
  .listen(0);
const other = net.createServer();
const answers = require('http').createServer((_, response) => response.end(`node ${process.pid}`));
answers.listen(0, () => {
  other.listen({ port: 0, exclusive: true }, () => {
    process.send('a server', other, () => other.close());
    process.send('ready');
  });
});
