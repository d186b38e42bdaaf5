// Takes on loopback what tracers send, and prints its port: `collector.js KIND`. `GET /` gives what they have recorded of each request
// for `/item/NUMBER`: an object of lists, one for each trace, by the number.
const zlib = require('zlib')
const certificate = require('../../../../multi-node-napi/test/certificate.js')

const traces = new Map()
const note = (id, text) => traces.has(id) ? traces.get(id).push(text) : traces.set(id, [text])

/** How each kind is answered; `undefined` is for what is of no interest. */
const kinds = {
  // The protocol OTLP, in JSON.
  otlp (url, body) {
    if (url.pathname !== '/v1/traces') return
    const spans = JSON.parse(body).resourceSpans.flatMap(part => part.scopeSpans).flatMap(part => part.spans)
    for (const span of spans) note(span.traceId, name(span.name, span.attributes.map(({ key, value }) => [key, value.stringValue])))
  },
  sentry (url, body) {
    const [, header, spans] = body.toString().split('\n')
    if (!header || JSON.parse(header).type !== 'span') return
    for (const span of JSON.parse(spans).items) {
      note(span.trace_id, name(span.name, Object.entries(span.attributes).map(([key, { value }]) => [key, value])))
    }
  },
  newrelic (url, body) {
    const method = url.searchParams.get('method')
    if (method === 'preconnect') return { return_value: { redirect_host: `localhost:${server.address().port}` } }
    if (method === 'connect') return { return_value: { agent_run_id: 1, data_report_period: 1, event_harvest_config: harvests } }
    if (method !== 'analytic_event_data') return
    for (const [own, , seen] of JSON.parse(body)[2]) note(own.guid, name(own.name, Object.entries(seen)))
  }
}
const harvests = { report_period_ms: 100, harvest_limits: { analytic_event_data: 10_000 } }

/** A span: its name, with the path that was asked for where it has one. */
function name (name, attributes) {
  const paths = ['url.path', 'http.target', 'http.url', 'request.uri']
  const [, path] = attributes.find(([key]) => paths.includes(key)) ?? []
  return path ? `${name} for ${new URL(path, 'http://a').pathname}` : name
}

function recorded () {
  const found = {}
  for (const trace of traces.values()) {
    const number = trace.map(span => / for .item.(\d+)$/.exec(span)?.[1]).find(Boolean)
    if (number) (found[number] ??= []).push(trace.map(span => span.replace(/\d+$/, 'N')).sort())
  }
  return found
}

const kind = process.argv[2]
const take = async (request, response) => {
  const body = Buffer.concat(await request.toArray())
  const unpack = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync }[request.headers['content-encoding']]
  const answer = request.url === '/' ? recorded() : kinds[kind](new URL(request.url, 'http://a'), unpack ? unpack(body) : body)
  response.setHeader('content-type', 'application/json').end(JSON.stringify(answer ?? { return_value: null }))
}
const http = require('http').createServer(take)
const server = kind === 'newrelic' ? require('https').createServer(certificate, take) : http
http.listen(0, '127.0.0.1', () => server === http ? ready() : server.listen(0, '127.0.0.1', ready))
/** The port for the tracer, and the one for `GET /`. */
function ready () { console.log(server.address().port, http.address().port) }
