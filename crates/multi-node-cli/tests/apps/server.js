// A server that knows nothing of multi-node: `server.js [PORT]`. `/slow` takes a while. A timer keeps the process alive.
const answer = (request, response) => {
  setTimeout(() => response.end('node ' + process.pid), request.url === '/slow' ? 300 : 0)
}
require('http').createServer(answer).listen(process.argv[2] ?? 3000)
setInterval(() => {}, 1000)
