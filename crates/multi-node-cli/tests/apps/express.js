// A server that knows nothing of multi-node.
const express = require('express')
const app = express()
app.get('/', (request, response) => response.send('express ' + process.pid))
app.listen(3000)
