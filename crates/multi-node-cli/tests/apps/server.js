// A server that knows nothing of multi-node: `server.js [PORT]`. The body of `/slow` takes a while, that of
// `/sleep/MS` so long. A timer keeps the process alive. Where AFTER
// names a file it listens once that is there; where STUCK does, it stands still
// until that is gone, and takes nothing more.
const answer = (request, response) => {
  const body = 'node ' + process.pid
  response.writeHead(200, { 'content-length': body.length }).flushHeaders()
  const asked = Number(/^\/sleep\/(\d+)$/.exec(request.url)?.[1] ?? 0)
  setTimeout(() => response.end(body), request.url === '/slow' ? 300 : asked)
}
const server = require('http').createServer(answer)
const { AFTER: gate, STUCK: stuck } = process.env
const listen = () => {
  if (gate && !require('fs').existsSync(gate)) return setTimeout(listen, 5)
  server.listen(process.argv[2] ?? 3000, () => {
    if (stuck && require('fs').existsSync(stuck)) {
      process.nextTick(() => {
        while (require('fs').existsSync(stuck));
        server.close()
      })
    }
  })
}
listen()
setInterval(() => {}, 1000)
