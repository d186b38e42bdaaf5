// Clients of socket.io in one room: `rooms.js URL CLIENTS`. Each sends one message, and ends when all have received all of
// them.
const { io } = require('socket.io-client')
const [url, count] = [process.argv[2], Number(process.argv[3])]
const nodes = new Set()
const room = 'room ' + process.pid
const clients = Array.from({ length: count }, () => io(url, { transports: ['websocket'], forceNew: true }))
const heard = clients.map(() => new Set())
let joined = 0
const end = () => {
  console.log(JSON.stringify({ nodes: nodes.size, heard: heard.map((texts) => texts.size) }))
  process.exit(0)
}
clients.forEach((client, number) => {
  client.on('said', (text) => {
    heard[number].add(text)
    if (heard.every((texts) => texts.size === count)) end()
  })
  client.emit('join', room, (pid) => {
    nodes.add(pid)
    joined += 1
    if (joined === count) clients.forEach((other, from) => other.emit('say', room, 'from ' + from))
  })
})
setTimeout(end, 5000)
