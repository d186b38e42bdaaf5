'use strict'
// multi-node's preload for Node.js programs under `multi-node run`. It changes nothing while the program serves, unless there is
// `--affinity`: then it looks at heads before Node.js does. When the node (worker process) drains, it passes idle HTTP/1.1
// connections back to the command, which gives them to other nodes, and it answers with `Connection: close` where a connection
// cannot move. `--no-preload` or MULTI_NODE_PRELOAD=off turns it off. docs/run.md describes it.
//
// It may be loaded by Node.js versions that it does not know, so it uses no syntax that is newer than ES2017.

;(function preload() {
  const NAME = 'NODE_MULTI_NODE'
  const KNOWN = [20, 22, 24]
  // What no event announces is looked for this often, in milliseconds.
  const SWEEP = 100
  // How many bytes of a request are looked at and move, how many milliseconds its head may take, how many clients are remembered.
  const MOST_READ = 65536
  const PATIENCE = 1000
  const MOST_OURS = 10000
  // How long a connection that no node has taken may stay idle, and a session of HTTP/2 without word of its client, in milliseconds.
  const STAY = 1000

  if (!isOurs()) return
  const send = process.send
  const major = Number(process.versions.node.split('.')[0])
  if (KNOWN.indexOf(major) < 0) {
    tell({ act: 'inert', why: 'the preload does not know Node.js ' + major })
    return
  }
  const channels = require('diagnostics_channel')

  // The key by which the command knows each listening server.
  const keys = new Map()
  const sessions = new Set()
  const followed = new WeakSet()
  let arriving = null
  // With affinity: what finds the value by which a client is known (null: its address is), and the values of clients of this node.
  let owned = null
  // What was read of a request that another node may own, by connection; and connections that came with the beginning of one.
  const held = new Map()
  const begun = new WeakSet()
  watch()
  tell({ act: 'hello', version: process.versions.node })

  // A drain in progress.
  let draining = false
  let alone = false
  let drained = false
  let swept = true
  let sequence = 0
  // Connections that the command has and no node has taken yet, by number.
  const offered = new Map()
  // Connections that move, that are not read for now, and that stay here until they are closed.
  const moving = new WeakSet()
  const frozen = new WeakSet()
  const staying = new WeakSet()
  // Sockets whose clients send requests before they have the answers to earlier ones.
  const pipelining = new WeakSet()
  // The answer on each connection that closes it.
  const last = new WeakMap()

  // Takes back what the command has added to the environment, so that no child sees it. Children, worker threads and
  // workers of a cluster of the program's own are not the process that the command started.
  function isOurs() {
    const pid = process.env.MULTI_NODE_PRELOAD
    const options = process.env.NODE_OPTIONS || ''
    const own = /^--require "((?:[^"\\]|\\.)*)" ?/.exec(options)
    if (own && own[1].replace(/\\(.)/g, '$1') === __filename) {
      const rest = options.slice(own[0].length)
      if (rest) process.env.NODE_OPTIONS = rest
      else delete process.env.NODE_OPTIONS
    }
    if (pid !== String(process.pid) || !require('worker_threads').isMainThread) return false
    delete process.env.MULTI_NODE_PRELOAD
    return Boolean(process.channel) && typeof process.send === 'function' && require('cluster').isWorker
  }

  function tell(message, handle, callback) {
    const done = callback || function ignore() {}
    try {
      send.call(process, Object.assign({ cmd: NAME }, message), handle, undefined, done)
    } catch (error) {
      done(error)
    }
  }

  // Follows which servers there are. The command's messages are internal ones, which the program does not see.
  function watch() {
    process.prependListener('internalMessage', function (message, handle) {
      if (handle && message && message.act === 'newconn') arriving = { message: message, handle: handle }
      if (message && message.cmd === NAME) quietly(function () { told(message) })
    })
    channels.subscribe('net.server.socket', function (published) {
      const socket = published.socket
      if (!arriving || arriving.handle !== socket._handle) return
      const message = arriving.message
      arriving = null
      quietly(function () { arrives(socket, message) })
    })
    channels.subscribe('tracing:net.server.listen:asyncStart', function (published) {
      quietly(function () { follow(published.server) })
    })
  }

  function arrives(socket, message) {
    const server = socket._server
    if (!server) return
    if (!keys.has(server)) {
      keys.set(server, message.key)
      server.once('close', function () { keys.delete(server) })
      follow(server)
    }
    if (owned && isMovable(socket)) look(socket, message.owned)
    if (message.head) {
      begun.add(socket)
      process.nextTick(function () { if (!socket.destroyed) socket.unshift(Buffer.from(message.head, 'latin1')) })
    } else if (message.moved) welcome(server, socket)
    if (draining) schedule()
  }

  // Notes the sessions of HTTP/2. Early versions of Node.js 20 do not say that a server listens: there the first one without
  // TLS is missed, since it begins before its connection is announced.
  function follow(server) {
    if (followed.has(server) || typeof server.updateSettings !== 'function') return
    followed.add(server)
    const add = function (session) {
      sessions.add(session)
      session.once('close', function () { sessions.delete(session) })
      if (draining) goAway(session)
    }
    server.on('session', add)
  }

  // A connection that another node has passed on was idle there, and may stay idle as long as Node.js allows between two
  // requests. Node.js takes it for a new one, and would send it a 408 after `headersTimeout`.
  function welcome(server, socket) {
    const limits = [server.keepAliveTimeout + STAY, server.headersTimeout - STAY, server.requestTimeout - STAY]
    if (!(server.keepAliveTimeout > 0)) limits.shift()
    const time = Math.min.apply(null, limits.filter(function (limit) { return limit > 0 }))
    if (!isFinite(time)) return
    setTimeout(function () {
      if (isUntouched(socket) && !moving.has(socket)) socket.destroy()
    }, time).unref()
  }

  function told(message) {
    if (message.act === 'drain') drain(message.alone)
    else if (message.act === 'taken') taken(message.seq)
    else if (message.act === 'refused') refused(message.seq, message.yours)
    else if (message.act === 'affinity') owned = { by: message.find && new RegExp(message.find), ours: new Set() }
  }

  function drain(isAlone) {
    if (draining) return
    draining = true
    alone = isAlone
    channels.subscribe('http.server.request.start', function (published) {
      quietly(function () { begins(published.response, published.socket) })
    })
    channels.subscribe('http.server.response.finish', function (published) {
      quietly(function () { if (!published.socket.parser || isMovable(published.socket)) schedule() })
    })
    for (const session of sessions) goAway(session)
    for (const socket of held.keys()) process.nextTick(release, socket)
    for (const parser of all().parsers) finds(parser)
    sweep()
    const timer = setInterval(function () {
      if (drained) clearInterval(timer)
      else sweep()
    }, SWEEP)
  }

  // A client that has seen the first notice opens no more streams, so that none is lost when the session closes.
  function goAway(session) {
    if (session.destroyed || session.closed) return
    const close = function () { if (!session.closed && !session.destroyed) session.close() }
    session.goaway(0, Math.pow(2, 31) - 1)
    if (!session.ping(close)) close()
    // A client that closes its side at once may leave the ping without an answer.
    setTimeout(close, STAY).unref()
  }

  // What is under way when the drain begins. The parser has the request that came last.
  function finds(parser) {
    const response = parser.socket && parser.socket._httpMessage
    if (!response) return
    if (parser.incoming && parser.incoming !== response.req) pipelining.add(parser.socket)
    else closeAfter(parser.socket, response)
  }

  // A request has been read. `_httpMessage` is the answer to an earlier one.
  function begins(response, socket) {
    if (socket._httpMessage && socket._httpMessage !== response) pipelining.add(socket)
    closeAfter(socket, response)
    schedule()
  }

  // Has the answer say `Connection: close` where the connection cannot move. Only the last answer of a connection may: what
  // comes behind it is not answered.
  function closeAfter(socket, response) {
    if ((isMovable(socket) && !alone) || response.headersSent || !response.shouldKeepAlive) return
    const before = last.get(socket)
    if (before && !before.headersSent) before.shouldKeepAlive = true
    last.set(socket, response)
    response.shouldKeepAlive = false
  }

  // Looks at all connections once this turn of the event loop has read what there is.
  function schedule() {
    if (!swept || !draining) return
    swept = false
    setImmediate(function () {
      quietly(sweep)
      swept = true
    })
  }

  function sweep() {
    if (drained) return
    const found = all()
    let left = offered.size
    for (const parser of found.parsers) {
      const socket = parser.socket
      if (!socket || socket.destroyed || moving.has(socket)) continue
      left += 1
      if (!isMovable(socket)) continue
      // Node.js does not close those that have sent nothing.
      if (!alone) consider(socket, found.idle.has(parser))
      else if (isUntouched(socket)) stay(socket)
    }
    if (left > 0 && !alone) return
    drained = true
    tell({ act: 'drained' })
  }

  function consider(socket, isIdle) {
    if (isQuiet(socket, isIdle)) return offer(socket)
    // The answers to what has been read come first. Reading on would never end where a client always has requests under way.
    if (isIdle && socket._httpMessage && pipelining.has(socket)) freeze(socket)
    else thaw(socket)
  }

  // All connections of HTTP/1 servers, and which of their parsers are between two requests.
  function all() {
    const parsers = []
    const idle = new Set()
    for (const server of keys.keys()) {
      const list = connectionsOf(server)
      if (!list) continue
      for (const parser of list.all()) parsers.push(parser)
      for (const parser of list.idle()) idle.add(parser)
    }
    return { parsers: parsers, idle: idle }
  }

  function connectionsOf(server) {
    for (const symbol of Object.getOwnPropertySymbols(server)) {
      if (symbol.description === 'http.server.connections') return server[symbol]
    }
    return undefined
  }

  // A connection moves where the server reads it from its first byte, by Node.js's own HTTP/1 parser, without TLS.
  function isMovable(socket) {
    const server = socket._server
    const handle = socket._handle
    if (socket.encrypted || staying.has(socket) || !handle || !server || socket.server !== server) return false
    if (typeof handle.readStop !== 'function' || !keys.has(server)) return false
    return server.listeners('connection').some(function (listener) { return listener.name === 'connectionListener' })
  }

  function isUntouched(socket) {
    return socket.bytesRead === 0 && !socket.destroyed && !begun.has(socket)
  }

  // Whether no request is under way: none is partly read, none waits for its answer, and the last answer is written.
  function isQuiet(socket, isIdle) {
    if (!isIdle && !isUntouched(socket)) return false
    if (socket._httpMessage || socket._paused || held.has(socket) || socket.writableEnded || socket.readableEnded) return false
    return socket.readableLength === 0 && socket.writableLength === 0 && !(socket._handle.writeQueueSize > 0)
  }

  // Passes a connection back, with what was read of its next request. It stays open here, unread, until another node has taken it.
  function offer(socket, head) {
    const seq = ++sequence
    socket.setTimeout(0)
    socket._handle.readStop()
    frozen.add(socket)
    moving.add(socket)
    offered.set(seq, socket)
    tell({ act: 'handoff', seq: seq, key: keys.get(socket._server), head: head }, socket._handle, function (error) {
      if (error) quietly(function () { refused(seq) })
    })
  }

  // Closes this process's descriptor alone: nothing of it is seen on the wire.
  function taken(seq) {
    const socket = offered.get(seq)
    offered.delete(seq)
    if (socket) socket.destroy()
    held.delete(socket)
    schedule()
  }

  // No node has taken it. A request that has come is answered here. In a drain an answer closes it, or it closes when it stays idle.
  function refused(seq, isOurs) {
    const socket = offered.get(seq)
    offered.delete(seq)
    if (!socket) return
    moving.delete(socket)
    thaw(socket)
    if (!held.has(socket)) return stay(socket)
    if (isOurs) owned.ours.add(held.get(socket).value)
    process.nextTick(release, socket)
    schedule()
  }

  // Has JavaScript read this connection, and look at what begins a request. `isOurs`: the first one is known to be.
  function look(socket, isOurs) {
    const handle = socket._handle
    const read = handle.onread
    const nothing = function () {}
    // Node.js's parser gets what the socket emits, as where a program listens for data.
    socket.on('data', nothing).removeListener('data', nothing)
    let seen = handle.bytesRead
    handle.onread = function (bytes) {
      const count = handle.bytesRead - seen
      let holds = false
      seen += count
      if (!bytes || draining) release(socket)
      else quietly(function () { holds = examine(socket, Buffer.from(bytes, 0, count), isOurs) })
      isOurs = false
      if (!holds) return read.apply(handle, arguments)
    }
  }

  // Whether what was read is held back: the request may be another's, or more of its head has to come.
  function examine(socket, chunk, isKnown) {
    if (!socket.parser || socket._httpMessage) return false
    const before = held.get(socket)
    const bytes = before ? Buffer.concat([before.bytes, chunk]) : chunk
    const text = bytes.toString('latin1', 0, MOST_READ)
    const end = text.indexOf('\r\n\r\n')
    const [, value] = owned.by ? owned.by.exec(end < 0 ? text : text.slice(0, end + 2)) || [] : ['', socket.remoteAddress]
    if (owned.ours.size >= MOST_OURS) owned.ours.clear()
    if (value && isKnown) owned.ours.add(value)
    const isOurs = bytes.length > MOST_READ || (value ? owned.ours.has(value) : end >= 0)
    if (!before && (isOurs || !beginsRequest(socket, chunk))) return false
    const { timer, timeout } = before || { timer: setTimeout(release, PATIENCE, socket), timeout: socket.timeout || 0 }
    held.set(socket, { bytes: bytes, value: value, timer: timer, timeout: timeout })
    socket.setTimeout(0)
    if (isOurs) process.nextTick(release, socket)
    else if (value) offer(socket, bytes.toString('latin1'))
    return true
  }

  function beginsRequest(socket, chunk) {
    if (socket.bytesRead === chunk.length && !begun.has(socket)) return true
    return connectionsOf(socket._server).idle().indexOf(socket.parser) >= 0
  }

  // Its request is answered here. The program's own code runs in this.
  function release(socket) {
    const waits = held.get(socket)
    if (!waits || moving.has(socket)) return
    held.delete(socket)
    clearTimeout(waits.timer)
    if (socket.destroyed) return
    socket.setTimeout(waits.timeout)
    socket.push(waits.bytes)
  }

  function stay(socket) {
    staying.add(socket)
    const read = socket.bytesRead
    setTimeout(function () {
      if (!socket.destroyed && socket.bytesRead === read) socket.destroySoon()
      schedule()
    }, STAY)
  }

  function freeze(socket) {
    if (frozen.has(socket)) return
    frozen.add(socket)
    socket._handle.readStop()
  }

  function thaw(socket) {
    if (!frozen.has(socket)) return
    frozen.delete(socket)
    if (socket._handle) socket._handle.readStart()
  }

  // The program must not fail by what is wrong here.
  function quietly(work) {
    try {
      work()
    } catch (error) {
      tell({ act: 'failed', why: String((error && error.message) || error) })
    }
  }
})()
