// As app.js, as an ES module.
import express from 'express'
const app = express()
app.get('/item/:number', (request, response) => {
  setTimeout(() => response.send(request.params.number + ' ' + process.pid), 5)
})
app.listen(0, '127.0.0.1')
process.once('SIGTERM', () => setTimeout(() => process.exit(), 1000))
