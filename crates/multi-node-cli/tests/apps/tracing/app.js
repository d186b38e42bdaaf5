// A server that knows nothing of multi-node, beside a tracer. The `import` of app.mjs is all that differs there.
const express = require('express')
const app = express()
app.get('/item/:number', (request, response) => {
  setTimeout(() => response.send(request.params.number + ' ' + process.pid), 5)
})
app.listen(0, '127.0.0.1')
// What the tracer has not sent yet would be lost with any way to end a process.
process.once('SIGTERM', () => setTimeout(() => process.exit(), 1000))
