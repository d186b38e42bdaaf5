'use strict';
// Deploys under people who are logged in and clients of socket.io: nobody is logged out, and every event reaches every client of its room once.
// `make soak-deploys` does it 50 times, with 500,000 events.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { io } = require('socket.io-client');
const { program, until } = require('./program.js');

const number = (name, otherwise) => Number(process.env[name] ?? otherwise);
const DEPLOYS = number('DEPLOYS', 2);
const EVENTS = number('EVENTS', 4000);
const KILLS = number('KILLS', 2);
/** Events a second of each node. */
const RATE = number('RATE', 150);
const ROOMS = 10;
const USERS = 8;
/** The third is what clients do unless told otherwise. */
const TRANSPORTS = [['websocket'], ['polling'], ['polling', 'websocket']];
/** Each event comes to one client by each transport. */
const ALL_EVENTS = TRANSPORTS.length * EVENTS;
/** The longest wait between two deploys. */
const LONGEST = 600_000;
const SOURCE = fs.readFileSync(path.join(__dirname, 'deploys-server.js'), 'utf8').replace('const { PORT,', 'const {').replace('Number(PORT)', 'PORT');

/** A person's browser: one connection that stays, and a cookie. */
class Browser {
  #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  cookie = '';

  constructor({ port }, name) {
    this.port = port;
    this.name = name;
  }

  ask(method, at) {
    const { port, cookie } = this;
    return new Promise((resolve, reject) => {
      const request = http.request({ host: '127.0.0.1', port, method, path: at, agent: this.#agent, headers: { cookie } }, (response) => {
        const [set] = response.headers['set-cookie'] ?? [];
        if (set) this.cookie = set.split(';')[0];
        let text = '';
        response.setEncoding('utf8').on('data', (part) => (text += part)).on('end', () => resolve(text)).on('error', reject);
      });
      request.on('error', reject).end();
    });
  }

  close() {
    this.#agent.destroy();
  }
}

/** What people and clients have met. */
class Met {
  answers = 0;
  visits = 0;
  events = 0;
  /** Every answer that was wrong, and every request without one. */
  wrong = [];
  failed = 0;
  reconnects = 0;
  reasons = new Map();
  pids = new Set();
}

/** Asks who it is, and counts its visits in the session, until all is over; a request without an answer fails, unless nodes are killed. */
async function stay(browser, met, now) {
  let visits = 0;
  while (!now.isOver) {
    try {
      const [name, pid] = (await browser.ask('GET', '/')).split(' ');
      if (name !== browser.name) met.wrong.push(`${browser.name} is ${name}`);
      met.pids.add(pid);
      met.answers += 1;
      if (!now.isKilling) {
        const answer = await browser.ask('POST', '/visit');
        if (answer !== `${browser.name} ${(visits += 1)}`) met.wrong.push(`visit ${visits} of ${browser.name} is ${answer}`);
        met.visits += 1;
      }
    } catch (error) {
      met.failed += 1;
      if (!now.isKilling) met.wrong.push(`${browser.name}: ${error.message}`);
    }
    await sleep(20);
  }
}

/** A client of socket.io, and the last number of each publisher that it has got. */
function connect(t, server, { name, cookie }, room, met, transports) {
  const auth = { name, room, returns: false };
  const socket = io(`http://127.0.0.1:${server.port}`, {
    transports,
    forceNew: true,
    auth,
    extraHeaders: { cookie },
    reconnectionDelay: 20,
    reconnectionDelayMax: 200,
  });
  t.after(() => socket.disconnect());
  const client = { socket, room, seen: new Map(), name: `${name} by ${transports}` };
  socket.on('event', (publisher, given) => {
    met.events += 1;
    const due = (client.seen.get(publisher) ?? 0) + 1;
    if (given !== due) met.wrong.push(`${client.name} got ${given} of ${publisher}, and ${due} was due`);
    client.seen.set(publisher, given);
  });
  socket.on('connect', () => {
    if (auth.returns) met.reconnects += 1;
    auth.returns = true;
  });
  socket.on('disconnect', (reason) => met.reasons.set(reason, (met.reasons.get(reason) ?? 0) + 1));
  return client;
}

/** The numbers that publishers have told: of each, the last event to each room. */
function published(output) {
  return new Map([...output.matchAll(/^last (node-\d+) (\[.*\])$/gm)].map(([, id, last]) => [id, JSON.parse(last)]));
}

/** How many events clients lack of those that were published; publishers that were killed could not tell. */
function missing(clients, last) {
  const lacks = ({ room, seen }, [id, rooms]) => rooms[room] - (seen.get(id) ?? 0);
  return clients.flatMap((client) => [...last].map((publisher) => lacks(client, publisher))).reduce((sum, count) => sum + count, 0);
}

/** The program, people who are logged in, and a client by each transport in each room. */
async function open(t) {
  const server = await program(t, SOURCE, { env: { ROOMS: String(ROOMS), RATE: String(RATE), NODE_DEBUG: 'multi-node' } });
  await server.says(/^ready/m);
  const [met, now] = [new Met(), { isKilling: false, isOver: false }];
  const browsers = Array.from({ length: USERS }, (_, user) => new Browser(server, `user-${user}`));
  for (const browser of browsers) await browser.ask('GET', `/login/${browser.name}`);
  const clients = TRANSPORTS.flatMap((transports) =>
    Array.from({ length: ROOMS }, (_, room) => connect(t, server, browsers[room % USERS], room, met, transports)),
  );
  await until('all clients', () => areHere(clients));
  tell(server, 'publish');
  await until('events for all', () => clients.every(({ seen }) => seen.size === 4));
  const people = browsers.map((browser) => stay(browser, met, now));
  return { server, met, now, browsers, clients, people };
}

const tell = (server, line) => server.stdin.write(`${line}\n`);
const areHere = (clients) => clients.every(({ socket }) => socket.connected);

/** Deploys while events come, as many between two of them each time. */
async function deploy({ server, met, clients }) {
  for (let deploys = 1; deploys <= DEPLOYS; deploys += 1) {
    await until('events', () => met.events >= (ALL_EVENTS * (deploys - 1)) / DEPLOYS, LONGEST);
    tell(server, 'reload');
    await until('the reload', () => server.output.match(/^reloaded/gm)?.length === deploys);
  }
  await until('all events', () => met.events >= ALL_EVENTS, LONGEST);
  await until('all clients', () => areHere(clients));
}

/** Kills nodes, one after the other, and waits until all is well again. */
async function kill({ server, now, clients }) {
  now.isKilling = true;
  for (let kills = 1; kills <= KILLS; kills += 1) {
    tell(server, 'pids');
    await until('the pids', () => server.output.match(/^pids/gm)?.length === kills);
    const pids = JSON.parse(server.output.match(/^pids (.*)$/gm).at(-1).slice(5));
    // A node that was started last may have no clients yet.
    const away = Promise.race([sleep(1000), ...clients.map(({ socket }) => new Promise((resolve) => socket.once('disconnect', resolve)))]);
    process.kill(pids[kills % 4], 'SIGKILL');
    await away;
    await until('all clients', () => areHere(clients));
    await until('a node in its place', () => server.log.match(/ ready after /g).length === 4 * (DEPLOYS + 1) + kills);
  }
}

/** Ends people and events, and waits for the last ones. */
async function close({ server, now, browsers, clients, people }) {
  tell(server, 'rest');
  now.isOver = true;
  await Promise.all(people);
  browsers.forEach((browser) => browser.close());
  tell(server, 'tell');
  await server.says(/^told/m);
  await until('the last events', () => missing(clients, published(server.output)) === 0, 10_000).catch(() => undefined);
}

test('deploys log nobody out, and every event comes once', async (t) => {
  const all = await open(t);
  const { server, met, clients } = all;
  await deploy(all);
  const deployed = { ...met, refused: server.output.match(/^refused.*/gm) ?? [] };
  await kill(all);
  await close(all);
  const sent = [...published(server.output).values()].flat().reduce((sum, count) => sum + count, 0);
  t.diagnostic(`${DEPLOYS} deploys: ${deployed.answers} answers of ${met.pids.size} processes, ${deployed.visits} visits, ${deployed.events} events came to clients, ${deployed.reconnects} reconnects`);
  t.diagnostic(`${KILLS} kills: ${met.answers - deployed.answers} answers, ${met.failed} requests without one, ${met.reconnects - deployed.reconnects} reconnects`);
  t.diagnostic(`${sent} events in all of nodes that were not killed; ${met.wrong.length} wrong, ${missing(clients, published(server.output))} missing; ${JSON.stringify(Object.fromEntries(met.reasons))}`);
  for (const wrong of met.wrong.slice(0, 50)) t.diagnostic(wrong);
  t.diagnostic(`${server.output.match(/, connects again/g)?.length ?? 0} requests of clients that had to connect again`);
  for (const [why] of server.output.matchAll(/^(MULTI-NODE.*(cannot recover|is refused)|refused|unrecovered|.*_LAG).*/gm)) t.diagnostic(why);
  // The requests of clients by long polling may come to another node when theirs was killed.
  assert.deepEqual(deployed.refused, []);
  assert.deepEqual(server.output.match(/^(stranger|unrecovered|.*_LAG).*/gm) ?? [], []);
  assert.deepEqual(met.wrong.slice(0, 50), []);
  assert.equal(missing(clients, published(server.output)), 0);
  assert.ok(met.failed <= KILLS * USERS, `${met.failed} requests had no answer`);
  assert.equal(await server.stop(), 0);
});
