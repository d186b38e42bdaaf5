'use strict';
// Two programs on two "machines", joined by a real NATS server with JetStream, which `scripts/install-servers.sh` fetches.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { needs } = require('../needs.js');
const { freePort, program, until } = require('../program.js');

const NATS = path.resolve(process.env.CARGO_TARGET_DIR ?? path.join(__dirname, '../../../../target'), 'servers/nats-server/usr/sbin/nats-server');
const skip = needs(fs.existsSync(NATS), 'nats-server is not in target/servers; scripts/install-servers.sh fetches it');

/** A server; its URL. */
async function nats(t) {
  const port = await freePort();
  const store = fs.mkdtempSync(path.join(os.tmpdir(), 'multi-node-nats-'));
  const server = spawn(NATS, ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', store], { stdio: 'ignore' });
  t.after(() => {
    server.kill('SIGKILL');
    fs.rmSync(store, { recursive: true, force: true });
  });
  await until('nats-server', () => answers(port));
  return `nats://127.0.0.1:${port}`;
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true) || socket.destroy()).on('error', () => resolve(false));
  });
}

/** Each process answers with what it knows, and does what it is asked to. */
const SOURCE = (url, machine) => `
  const [heard, seen, terms] = [[], [], []];
  const does = {
    "/": () => ({ id: nodes.id, machine: nodes.machine, machines: nodes.machines(), heard, seen, terms }),
    "/say": ({ text }) => ({ published: chat.publish({ text, bytes: Buffer.from(text) }) }),
    "/ask": async ({ to }) => nodes.request("who", "x", { to: to || undefined }),
    "/set": async ({ sid, name }) => ({ done: await call("set", sid, { name, cookie: {} }) ?? null }),
    "/get": async ({ sid }) => await call("get", sid) ?? null,
    "/end": async ({ sid }) => ({ done: await call("destroy", sid) ?? null }),
  };
  const call = (method, ...given) => new Promise((resolve, reject) => {
    sessions[method](...given, (error, value) => error ? reject(error) : resolve(value));
  });
  const server = require("http").createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    try {
      response.end(JSON.stringify(await does[url.pathname](Object.fromEntries(url.searchParams))));
    } catch (error) {
      response.end(JSON.stringify({ code: error.code, message: error.message }));
    }
  });
  const nodes = require("@multi-node/server").listen({
    port: PORT, nodes: 2, control: false, join: { url: "${url}", machine: "${machine}", cluster: "test" },
  }, server);
  const sessions = nodes.joinedSessions();
  const chat = nodes.topic("chat");
  chat.on("message", ({ text, bytes }, { from }) => heard.push([text, bytes.toString(), nodes.remote(from)?.process ?? from]));
  nodes.on("joined", (process) => seen.push(process + " joined")).on("left", (process, why) => seen.push(process + " " + why));
  if (!nodes.isMaster) {
    if ("${machine}" === "beta") nodes.respond("who", (_, { from }) => ({ id: nodes.id, from: String(nodes.remote(from) ?? from) }));
    nodes.joinedLeader("job", (signal, { fencingToken }) => {
      terms.push(fencingToken);
      return new Promise((resolve) => signal.addEventListener("abort", resolve));
    });
  }
`;

const start = (t, url, machine) => program(t, SOURCE(url, machine));
const said = async (server, at) => JSON.parse(await server.get(at));

/** What some process of the program says, once it is as wanted. */
function says(server, at, wanted) {
  return until(`${at} as wanted`, async () => {
    const answer = await said(server, at).catch(() => null);
    return answer !== null && wanted(answer) && answer;
  });
}

const knows = (name) => ({ machines }) =>
  machines?.some((machine) => machine.name === name && machine.reachable && machine.processes.filter(({ slot, state }) => slot !== null && state === 'serving').length === 2);

test('topics, requests, presence, sessions and a job cross machines', { skip }, async (t) => {
  const url = await nats(t);
  const [alpha, beta] = [await start(t, url, 'alpha'), await start(t, url, 'beta')];
  const { machine } = await says(alpha, '/', knows('beta'));
  assert.equal(machine, 'alpha');
  const { machines, seen } = await says(beta, '/', (answer) => knows('alpha')(answer) && answer.seen.length >= 3);
  assert.match(seen.join(), /alpha\/0#[0-9a-f]+\.\d+ joined/);
  const [master, first] = machines[0].processes;
  assert.deepEqual([master.slot, first.process], [null, `alpha/0#${first.process.split('#')[1]}`]);

  // A message that comes before the subscription is known is not there; those after it are, each once.
  let number = 0;
  const hears = ({ heard }) => heard?.some(([text, bytes, from]) => text === bytes && from.startsWith('alpha/'));
  const { heard } = await until('a message of alpha at beta', async () => {
    await said(alpha, `/say?text=m${(number += 1)}`);
    const answer = await said(beta, '/');
    return hears(answer) && answer;
  });
  assert.equal(new Set(heard.map(([text]) => text)).size, heard.length);

  const answered = await says(alpha, '/ask', ({ from }) => from !== undefined);
  assert.match(answered.from, /^alpha\/[01]#/);
  const to = (await said(alpha, '/')).machines[0].processes.find(({ slot }) => slot === 1);
  assert.match((await says(alpha, `/ask?to=${to.id}`, ({ from }) => from !== undefined)).id, /^node-/);

  assert.deepEqual(await says(alpha, '/set?sid=s1&name=Ada', ({ done }) => done === null), { done: null });
  assert.equal((await said(beta, '/get?sid=s1')).name, 'Ada');
  await said(beta, '/set?sid=s1&name=Grace');
  assert.equal((await said(alpha, '/get?sid=s1')).name, 'Grace');
  await said(beta, '/end?sid=s1');
  assert.equal(await said(alpha, '/get?sid=s1'), null);

  const token = await until('a job that runs', async () => {
    const all = await Promise.all([alpha, beta].flatMap((server) => Array.from({ length: 8 }, () => said(server, '/'))));
    const tokens = new Set(all.flatMap(({ terms }) => terms));
    assert.ok(tokens.size <= 1, 'one process has it');
    return [...tokens][0];
  });
  assert.ok(token >= 1);
  assert.equal(await alpha.stop(), 0);
  await says(beta, '/', (answer) => answer.seen.some((line) => line.endsWith('machineLeft')) && answer.machines.length === 0);
  await says(beta, '/', ({ terms }) => terms.some((later) => later > token) || terms.includes(token));
  assert.equal(await beta.stop(), 0);
});

test('without NATS a program serves, says so, and its sessions are errors', { skip }, async (t) => {
  const alpha = await start(t, `nats://127.0.0.1:${await freePort()}`, 'alpha');
  const { code, message } = await says(alpha, '/get?sid=s1', (answer) => answer?.code !== undefined);
  assert.equal(code, 'ERR_MULTI_NODE_SESSIONS_FAILED', message);
  await until('a warning', () => /joining other machines: /.test(alpha.log + alpha.output));
  assert.equal(await alpha.stop(), 0);
});
