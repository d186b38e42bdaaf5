// One session of HTTP/2 that is never idle: `http2-client.js URL`. It prints `asks` once it was answered. When the server
// announces that the session goes away, it prints, in JSON, the announcement, the answers on the session and their senders,
// and how the session closed. A stream without the beginning of an answer is `refused`: clients ask again on another session
// (RFC 9113, 8.7).
const http2 = require('http2')
const session = http2.connect(process.argv[2], { rejectUnauthorized: false })
const report = { goaway: null, answered: 0, refused: 0, failed: [], processes: [] }
let open = 0

function failed (error) {
  if (!error.message.endsWith('NGHTTP2_REFUSED_STREAM')) report.failed.push(error.message)
}

function ask (path) {
  if (report.goaway !== null || session.closed || session.destroyed) return
  open += 1
  let text = ''
  const request = session.request({ ':path': path })
  request.setEncoding('utf8').on('data', part => { text += part }).on('error', failed)
  request.on('close', () => {
    open -= 1
    if (request.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM) report.refused += 1
    if (text) report.answered += 1
    if (text && !report.processes.includes(text)) report.processes.push(text)
    if (report.answered === 1) console.log('asks')
    ask(path)
  })
}
session.on('goaway', code => { report.goaway ??= code }).on('error', failed)
session.on('close', () => console.log(JSON.stringify({ ...report, open })))
ask('/')
ask('/slow')
