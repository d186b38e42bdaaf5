'use strict';
// The server that `compare.mjs` measures, by node:cluster or by this package: `node server.js <variant> <workers> <port>`.
// Its first process prints a line of JSON for each thing that it is asked for on standard input.

const http = require('node:http');
const readline = require('node:readline');
const cluster = require('node:cluster');

const [variant, workers, port] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

const server = http.createServer((request, response) => response.end(request.url === '/pid' ? String(process.pid) : 'hello'));

/** Round trips between two siblings, and messages in one direction, for so long each. */
const SECONDS = 1;
/** Messages under way in one direction: enough that no process waits for an answer of the other. */
const WINDOW = 1024;

/** Measures over `send` to one sibling; `heard` is called with each answer. The other side echoes messages that have `ping`. */
async function measure(link) {
  const roundTrips = await count((done) => {
    link.heard = done;
    link.send({ ping: 1, text: 'hello' });
    return () => link.send({ ping: 1, text: 'hello' });
  });
  const oneWay = await count((done) => {
    // The sibling confirms every `WINDOW / 2` messages.
    link.heard = () => done(WINDOW / 2);
    const some = () => {
      for (let sent = 0; sent < WINDOW / 2; sent += 1) link.send({ one: 1, text: 'hello' });
    };
    some();
    some();
    return some;
  });
  return { roundTrips, oneWay };
}

function count(begin) {
  return new Promise((resolve) => {
    let total = 0;
    const start = process.hrtime.bigint();
    const next = begin((count = 1) => {
      total += count;
      const seconds = Number(process.hrtime.bigint() - start) / 1e9;
      if (seconds < SECONDS) next();
      else resolve(total / seconds);
    });
  });
}

/** The other side. */
function echo(send) {
  let received = 0;
  return (message) => {
    if (message.ping) send({ pong: 1, text: message.text });
    if (message.one && (received += 1) % (WINDOW / 2) === 0) send({ pong: 1 });
  };
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function answer(questions) {
  const ask = (line) => Promise.resolve(questions[line]()).then((answer) => say({ answer }), (error) => say({ error: error.message }));
  readline.createInterface({ input: process.stdin }).on('line', ask).on('close', () => process.exit());
}

if (variant === 'multi-node') withMultiNode();
else withCluster();

function withMultiNode() {
  const { listen, frameStream } = require('..');
  // Each kill is measured as the first: by default a slot that dies again and again rests for longer each time.
  const nodes = listen({ port, host: '127.0.0.1', nodes: workers, backoff: [1, 1], crashLoop: { deaths: 1000, within: 1000 } }, server);
  if (nodes.isMaster) {
    let result = null;
    nodes.on('node', (stream) => frameStream(stream).on('message', (message) => result?.(message)));
    nodes.ready().then(() => say({ answer: 'ready' }));
    answer({
      complete: () => nodes.ready(),
      reload: () => nodes.reload(),
      messages: () => {
        const done = new Promise((resolve) => (result = resolve));
        nodes.peers.find(({ slot }) => slot === 0).write('\0"measure"\xff', 'latin1');
        return done;
      },
    });
    return;
  }
  let master;
  let join;
  const sibling = new Promise((resolve) => (join = resolve));
  nodes.on('node', (stream) => {
    const frames = frameStream(stream);
    if (stream.isMaster) master = frames;
    const link = { heard: null, send: (message) => frames.send(message) };
    const echoes = echo((message) => frames.send(message));
    frames.on('message', (message) => {
      if (message === 'measure') return begin();
      if (message.pong) link.heard();
      else echoes(message);
    });
    if (stream.slot === 1) join(link);
  });
  const begin = async () => master.send(await measure(await sibling));
}

function withCluster() {
  cluster.schedulingPolicy = variant === 'round-robin' ? cluster.SCHED_RR : cluster.SCHED_NONE;
  if (cluster.isPrimary) return primary();
  server.listen(port, '127.0.0.1');
  // A message to a sibling goes through the primary: there is no other way.
  const link = { heard: null, send: (message) => process.send(message) };
  const echoes = echo((message) => process.send(message));
  process.on('message', async (message) => {
    if (message === 'measure') process.send({ measured: await measure(link) });
    else if (message.pong) link.heard();
    else echoes(message);
  });
}

function primary() {
  let result = null;
  const listening = new Set();
  const fork = () =>
    new Promise((resolve) => {
      const worker = cluster.fork();
      worker.once('listening', () => {
        listening.add(worker);
        resolve(worker);
      });
      worker.on('message', (message) => {
        if (message.measured) return result(message.measured);
        const [first, second] = Object.values(cluster.workers);
        (worker === first ? second : first).send(message);
      });
    });
  cluster.on('exit', (worker) => {
    listening.delete(worker);
    if (!worker.exitedAfterDisconnect) fork();
  });
  const complete = async () => {
    while (listening.size < workers) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  Promise.all(Array.from({ length: workers }, fork)).then(() => say({ answer: 'ready' }));
  answer({
    complete,
    // As it is usually written: a new worker first, then the old one's `disconnect`.
    reload: async () => {
      for (const worker of Object.values(cluster.workers)) {
        await fork();
        await new Promise((resolve) => worker.once('exit', resolve).disconnect());
      }
    },
    messages: () => {
      const done = new Promise((resolve) => (result = resolve));
      Object.values(cluster.workers)[0].send('measure');
      return done;
    },
  });
}
