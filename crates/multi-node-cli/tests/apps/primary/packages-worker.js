// What the documentation of three packages has in a worker: rooms of socket.io, and two limits of 20 requests for each key.
const express = require('express')
const { createAdapter } = require('@socket.io/cluster-adapter')
const { ClusterMemoryStoreWorker } = require('@express-rate-limit/cluster-memory-store')
const { rateLimit } = require('express-rate-limit')
const { RateLimiterCluster } = require('rate-limiter-flexible')
const { Server } = require('socket.io')

const app = express()
const server = require('http').createServer(app)
const answer = (request, response) => response.end('node ' + process.pid)

const io = new Server(server)
io.adapter(createAdapter())
io.on('connection', (socket) => {
  socket.on('join', (room, joined) => {
    socket.join(room)
    joined(process.pid)
  })
  socket.on('say', (room, text) => io.to(room).emit('said', text))
})

const flexible = new RateLimiterCluster({ keyPrefix: 'flexible', points: 20, duration: 600, timeoutMs: 2000 })
app.get('/flexible/:key', (request, response) => {
  const refuse = (why) => response.status(why instanceof Error ? 500 : 429).end(String(why))
  flexible.consume(request.params.key).then(() => answer(request, response), refuse)
})

const store = new ClusterMemoryStoreWorker({ prefix: 'express' })
const keyGenerator = (request) => request.params.key
app.get('/express/:key', rateLimit({ windowMs: 600000, limit: 20, store, keyGenerator }), answer)

server.listen(3000)
