// A server that does not use multi-node. `/NUMBER` is answered with the number and the process; a POST with its body and the
// process; `/events` continues as long as its client does; `/inside` shows what a child and a worker thread find.
const http = require('http')
const { execFile } = require('child_process')
const { Worker, isMainThread, parentPort } = require('worker_threads')

const found = () => ({
  options: process.env.NODE_OPTIONS ?? null,
  preload: process.env.MULTI_NODE_PRELOAD ?? null,
  listeners: process.listenerCount('internalMessage')
})
if (!isMainThread) parentPort.postMessage(found())
else if (process.argv[2] === 'child') console.log(JSON.stringify(found()))
else serve()

function serve() {
  const mine = ' ' + process.pid
  http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    if (request.method === 'POST') return echo(request, response)
    if (request.url === '/inside') return inside(response)
    if (request.url !== '/events') return response.end(request.url.slice(1) + mine)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write('data: tick\n\n'), 50)
    response.on('close', () => clearInterval(timer))
  }).listen(Number(process.argv[2] ?? 0), '127.0.0.1')
}

// In one piece.
function echo(request, response) {
  const body = []
  request.on('data', part => body.push(part)).on('end', () => response.end(Buffer.concat(body)))
}

function inside(response) {
  execFile(process.execPath, [__filename, 'child'], (error, out) => {
    const worker = new Worker(__filename)
    worker.once('message', thread => {
      const own = { options: process.env.NODE_OPTIONS ?? null, preload: process.env.MULTI_NODE_PRELOAD ?? null }
      response.end(JSON.stringify({ own, thread, child: error ? String(error) : JSON.parse(out) }))
    })
  })
}
