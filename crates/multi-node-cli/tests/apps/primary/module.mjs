// The code of a primary as an ES module, which is loaded asynchronously.
import cluster, { fork, isPrimary } from 'node:cluster'
await new Promise((resolve) => setTimeout(resolve, 300))
cluster.on('message', (worker, message) => {
  let thrown
  try {
    fork()
  } catch (error) {
    thrown = error.code
  }
  worker.send({ seq: message.seq, reply: { isPrimary, thrown, workers: Object.keys(cluster.workers).length } })
})
