// The code of a primary: it answers what `asks.js` asks.
const cluster = require('cluster')
const release = process.env.RELEASE ? require('fs').readFileSync(process.env.RELEASE, 'utf8') : ''
if (release === 'broken') throw new Error('a broken release')
console.log('primary says ' + process.pid)
if (process.env.STUBBORN) {
  process.on('SIGTERM', () => {})
  setInterval(() => {}, 1000)
}
const events = []
const added = (event) => (worker, ...more) => events.push([event, worker.id, ...more].join(' '))
for (const event of ['fork', 'online', 'disconnect']) cluster.on(event, added(event))
cluster.on('listening', (worker, address) => added('listening')(worker, address.port > 0))
cluster.on('exit', (worker, code, signal) => added('exit')(worker, code, signal, worker.exitedAfterDisconnect))
let notes = 0

const failing = (work) => {
  try {
    return work()
  } catch (error) {
    return error.code
  }
}
const questions = {
  '/echo': (worker) => ({ worker: worker.id, pid: process.pid, release }),
  '/events': () => events,
  '/notes': () => notes,
  '/facts': () => ({
    primary: [cluster.isPrimary, cluster.isMaster, cluster.isWorker],
    send: typeof process.send,
    options: process.execArgv,
    variables: Object.keys(process.env).filter((name) => /^NODE_(CHANNEL|UNIQUE)|^MULTI_NODE_P/.test(name)),
    fork: failing(() => cluster.fork()),
    setup: failing(() => cluster.setupPrimary({ exec: 'other.js' })),
    nothing: failing(() => Object.values(cluster.workers)[0].send()),
  }),
  '/workers': () => Object.values(cluster.workers).map((worker) => ({
    id: worker.id,
    pid: worker.process.pid,
    state: worker.state,
    connected: worker.isConnected(),
    dead: worker.isDead(),
    is: worker instanceof cluster.Worker,
  })),
  '/all': () => Object.values(cluster.workers).map((worker) => worker.send({ note: 1 })).length,
  '/back': (worker) => {
    for (let count = 0; count < 20000; count += 1) worker.send({ note: 'x'.repeat(1000) })
  },
  '/exit': () => process.exit(7),
}
cluster.on('message', (worker, message) => {
  if (message.note) notes += 1
  if (!message.path) return
  const reply = (value) => worker.send({ seq: message.seq, reply: value })
  if (message.path === '/handle') {
    const server = require('net').createServer().listen(0)
    return worker.send({ never: 1 }, server, (error) => server.close(() => reply(error.code)))
  }
  if (message.path.startsWith('/burst/')) return reply(notes)
  const answer = questions[message.path](worker)
  reply(answer === undefined ? null : answer)
})
