// A server that knows nothing of multi-node. The body of `/sleep/MS` takes so long. KEEP_ALIVE: for how many milliseconds idle connections
// are kept.
const express = require('express')
const app = express()
app.get('/', (request, response) => response.send('express ' + process.pid))
app.get('/sleep/:time', (request, response) => {
  const body = 'express ' + process.pid
  response.writeHead(200, { 'content-length': body.length }).flushHeaders()
  setTimeout(() => response.end(body), Number(request.params.time))
})
app.listen(3000).keepAliveTimeout = Number(process.env.KEEP_ALIVE ?? 5000)
