'use strict'
// multi-node's shim for the file of `multi-node run --primary FILE`. It makes `cluster` of that process what it is in the
// primary of `node:cluster`: workers, their events and their messages. The command starts and ends the workers, and relays
// the messages. docs/run.md describes it.
//
// It may be loaded by Node.js versions that it does not know, so it uses no syntax that is newer than ES2017.

;(function primary() {
  const NAME = 'NODE_MULTI_NODE'
  const EVENTS = ['fork', 'online', 'listening', 'message', 'disconnect', 'exit']
  // A file that waits for no event of the workers gets their events after this time, in milliseconds.
  const PATIENCE = 1000

  if (!isOurs()) return
  const EventEmitter = require('events')
  const cluster = require('cluster')
  const send = process.send.bind(process)
  // A primary that is no cluster worker has no parent to send to.
  process.send = undefined

  cluster.fork = function fork() {
    throw failure('ERR_MULTI_NODE_FORK', 'multi-node starts the workers: their number is `multi-node run --nodes`')
  }
  cluster.disconnect = function disconnect(callback) {
    remind()
    if (typeof callback === 'function') process.nextTick(callback)
  }
  require('module').syncBuiltinESMExports()

  // Each in a turn of its own, with all that its promises do: messages of several workers come by one channel here, and
  // under node:cluster by several.
  process.on('internalMessage', function (message) {
    if (message && message.cmd === NAME) setImmediate(told, message)
  })
  // Its listener also keeps the process running, as workers do under node:cluster.
  process.on('disconnect', function () {
    for (const id of Object.keys(cluster.workers)) leaves(cluster.workers[id], {})
  })
  introduce()

  // Children and worker threads may load this file too, since they inherit the options of Node.js.
  function isOurs() {
    const pid = process.env.MULTI_NODE_PRIMARY
    if (pid !== String(process.pid) || !require('worker_threads').isMainThread) return false
    delete process.env.MULTI_NODE_PRIMARY
    const option = process.execArgv.indexOf(__filename)
    if (option > 0) process.execArgv.splice(option - 1, 2)
    return typeof process.send === 'function'
  }

  // The command sends the workers once this process has a listener: modules may be loaded asynchronously.
  function introduce() {
    let introduced = false
    const hello = function () {
      if (introduced) return
      introduced = true
      clearTimeout(timer)
      cluster.removeListener('newListener', listens)
      send({ cmd: NAME, act: 'hello' })
    }
    const listens = function (event) {
      if (EVENTS.indexOf(event) >= 0) setImmediate(hello)
    }
    const timer = setTimeout(hello, PATIENCE)
    cluster.on('newListener', listens)
  }

  function told(message) {
    if (message.act === 'fork') return begins(message)
    const worker = cluster.workers[message.id]
    if (!worker) return
    if (message.act === 'online') online(worker)
    else if (message.act === 'listening') listening(worker, message.msg)
    else if (message.act === 'message') worker.process.emit('message', message.msg, undefined)
    else if (message.act === 'disconnect') leaves(worker, message)
    else if (message.act === 'exit') ends(worker, message)
  }

  function begins(message) {
    const worker = new cluster.Worker({ id: message.id, process: stand(message) })
    // Those of Node.js would speak the protocol between its own primary and worker.
    worker.disconnect = function disconnect() {
      remind()
      return worker
    }
    worker.kill = worker.destroy = function kill(signal) {
      worker.process.kill(signal)
    }
    worker.on('message', function (received, handle) {
      cluster.emit('message', worker, received, handle)
    })
    cluster.workers[message.id] = worker
    cluster.emit('fork', worker)
  }

  // What stands for the worker's process, which is a child of the command.
  function stand(message) {
    const child = new EventEmitter()
    child.pid = message.pid
    child.connected = true
    child.exitCode = null
    child.signalCode = null
    child.killed = false
    child.send = function (sent, handle, options, callback) {
      const done = [handle, options, callback].find(function (arg) { return typeof arg === 'function' })
      return pass(child, message.id, sent, typeof handle === 'function' ? undefined : handle, done)
    }
    child.kill = function (signal) {
      child.killed = true
      return process.kill(child.pid, signal || 'SIGTERM')
    }
    child.disconnect = remind
    child.ref = child.unref = function () {}
    return child
  }

  function pass(child, id, sent, handle, done) {
    let error = null
    if (sent === undefined) {
      const missing = new TypeError('The "message" argument must be specified')
      missing.code = 'ERR_MISSING_ARGS'
      throw missing
    }
    if (!child.connected) {
      error = failure('ERR_IPC_CHANNEL_CLOSED', 'Channel closed')
    } else if (handle) {
      error = failure('ERR_MULTI_NODE_HANDLE', 'multi-node passes no handles between the primary and its workers')
    } else {
      return send({ cmd: NAME, act: 'send', id: id, msg: sent }, undefined, undefined, done)
    }
    process.nextTick(function () {
      if (done) done(error)
      else child.emit('error', error)
    })
    return false
  }

  function online(worker) {
    worker.state = 'online'
    worker.process.emit('online')
    worker.emit('online')
    cluster.emit('online', worker)
  }

  function listening(worker, said) {
    const address = { addressType: said.addressType, address: said.address, port: said.port, fd: said.fd }
    worker.state = 'listening'
    worker.emit('listening', address)
    cluster.emit('listening', worker, address)
  }

  // `asked`: it was asked to, or announced it.
  function leaves(worker, message) {
    if (!worker.process.connected) return
    worker.process.connected = false
    worker.exitedAfterDisconnect = Boolean(message.asked)
    worker.state = 'disconnected'
    worker.process.emit('disconnect')
    worker.emit('disconnect')
    cluster.emit('disconnect', worker)
  }

  function ends(worker, message) {
    const child = worker.process
    leaves(worker, message)
    child.exitCode = message.code
    child.signalCode = message.signal
    worker.state = 'dead'
    delete cluster.workers[worker.id]
    child.emit('exit', message.code, message.signal)
    worker.emit('exit', message.code, message.signal)
    cluster.emit('exit', worker, message.code, message.signal)
  }

  function failure(code, text) {
    const error = new Error(text)
    error.code = code
    return error
  }

  let reminded = false
  function remind() {
    if (reminded) return
    reminded = true
    process.emitWarning('multi-node ends the workers: disconnect() does nothing here')
  }
})()
