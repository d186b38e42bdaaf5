// HTTP/2 without TLS and with it, on the first and the second address. `/slow` takes half a second, anything else answers with the process.
const http2 = require('http2')
const certificate = require('../../../multi-node-napi/test/certificate.js')
function answer (request, response) {
  const end = () => response.end(String(process.pid))
  if (request.url === '/slow') setTimeout(end, 500)
  else end()
}
http2.createServer(answer).listen(0)
http2.createSecureServer(certificate, answer).listen(0)
