// A server that does not use multi-node. It answers with its process, and what the request had: the path, or the body of a POST. An
// upgrade is answered with the process, and then what the client sends.
const http = require('http')

const own = process.pid + ' '
const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const parts = []
  request.on('data', part => parts.push(part))
  request.on('end', () => response.end(own + (request.method === 'POST' ? Buffer.concat(parts) : request.url)))
})
server.on('upgrade', (request, socket, head) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n' + own + head)
  socket.pipe(socket)
})
server.listen(0, '127.0.0.1')
