// `tls-client.js KIND PORT FILE PATH`: six handshakes, with the session in FILE; without one the first keeps its own there.
// Writes what was answered, each on a line, and how many were resumed.
const fs = require('fs');
const tls = require('tls');
const { once } = require('events');
const [kind, port, file, path] = process.argv.slice(2);

/** What each kind reads from a connection. */
const bodies = {
  https: async (socket) => {
    const agent = Object.assign(new (require('https').Agent)(), { createConnection: () => socket });
    return (await once(require('https').get({ path, agent }), 'response'))[0];
  },
  tls: (socket) => socket,
  http2: (socket) => require('http2').connect(`https://127.0.0.1:${port}`, { createConnection: () => socket }).request(),
};

async function handshake(session) {
  const ALPNProtocols = kind === 'http2' ? ['h2'] : undefined;
  const socket = tls.connect({ host: '127.0.0.1', port, session, servername: 'localhost', rejectUnauthorized: false, ALPNProtocols });
  const ticket = once(socket, 'session');
  let resumed;
  socket.once('secureConnect', () => (resumed = socket.isSessionReused()));
  const body = (await (await bodies[kind](socket)).toArray()).join('');
  if (!session) [session] = await ticket;
  socket.destroy();
  return { body, session, resumed };
}

(async () => {
  let session = fs.existsSync(file) ? fs.readFileSync(file) : undefined;
  let resumed = 0;
  for (let count = 0; count < 6; count++) {
    const answer = await handshake(session);
    if (!session) fs.writeFileSync(file, (session = answer.session));
    resumed += answer.resumed;
    process.stdout.write(`${answer.body}\n`);
  }
  console.log(resumed);
})();
