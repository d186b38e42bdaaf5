// Three servers in this order: https, tls, http2. Each answers with `node PID`, https for `/keys` with its ticket keys.
const certificate = require('../../../multi-node-napi/test/certificate.js');
const body = `node ${process.pid}`;
const https = require('https').createServer(certificate, (request, response) => {
  response.end(request.url === '/keys' ? https.getTicketKeys().toString('hex') : body);
});
const tls = require('tls').createServer(certificate, (socket) => socket.on('error', () => {}).end(body));
const http2 = require('http2').createSecureServer(certificate, (_, response) => response.end(body));
[https, tls, http2].forEach((server) => server.listen(0));
