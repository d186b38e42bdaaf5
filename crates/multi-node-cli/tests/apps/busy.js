// A server whose process is blocked for the most part, and that has much to tell its parent: `busy.js [PORT]`.
const answer = (request, response) => response.end('node ' + process.pid)
require('http').createServer(answer).listen(process.argv[2] ?? 3000)
const nobody = new Int32Array(new SharedArrayBuffer(4))
setInterval(() => {
  process.send('x'.repeat(300_000))
  Atomics.wait(nobody, 0, 0, 50)
}, 1)
