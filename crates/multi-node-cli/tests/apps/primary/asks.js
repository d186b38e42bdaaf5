// A worker that asks its primary: the answer to a request is what the primary has sent back.
const http = require('http')
const open = new Map()
let seq = 0
let notes = 0
process.on('message', (message) => {
  if (message.note) notes += 1
  const answer = open.get(message.seq)
  open.delete(message.seq)
  if (answer) answer(message.reply)
})
http.createServer((request, response) => {
  const own = ++seq
  const end = (status, reply) => {
    clearTimeout(timer)
    const body = JSON.stringify(reply)
    response.writeHead(status, { 'content-length': body.length }).end(body)
  }
  const burst = /^\/burst\/(\d+)$/.exec(request.url)
  const fail = () => {
    open.delete(own)
    end(504, 'no answer')
  }
  const timer = setTimeout(fail, burst || request.url === '/back' ? 20000 : 1000)
  if (request.url === '/notes') return end(200, notes)
  if (request.url === '/pid') return end(200, process.pid)
  open.set(own, (reply) => end(200, reply))
  for (let count = 0; burst && count < burst[1]; count += 1) process.send({ note: 'x'.repeat(1000) })
  process.send({ seq: own, path: request.url })
}).listen(3000)
