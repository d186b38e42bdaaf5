// Compiled by `types.test.js`, and never run.
import http from 'node:http';
import { Registry, register } from 'prom-client';
import multiNode, { frameStream, listen, type NodeStream, type Nodes } from '@multi-node/server';

import { SessionStore } from '@multi-node/server/session';
import { rateLimit } from 'express-rate-limit';
import { RateLimitStore, fastifyStore } from '@multi-node/server/rate-limit';
import { Server } from 'socket.io';
import { createAdapter, drain } from '@multi-node/server/socket.io';

const server = http.createServer((_request, response) => response.end('hello'));
const nodes: Nodes = listen({ port: 8080, nodes: 4, backoff: [100, 1000] }, server);
listen({ certificates: { cert: 'fullchain.pem', key: 'privkey.pem' } }, server);
listen({ canary: { duration: 5000 }, aggregateGauge: { jobs: 'max' }, slotArgs: (slot) => [`--title=${slot}`] }, server);
listen({}, (_request, response) => response.end());
listen({}, [server, { host: '127.0.0.1', port: 9090, server: http.createServer() }]);

nodes.on('node', (stream: NodeStream) => {
  const frames = frameStream<{ text: string }>(stream);
  frames.on('message', ({ text }) => text.toUpperCase());
  frames.send({ text: stream.id });
  stream.write('bytes');
});
nodes.on('exit', ({ slot, signal }) => [slot.toFixed(), signal === 'SIGKILL']);

rateLimit({ limit: 100, windowMs: 60_000, store: new RateLimitStore(nodes, { prefix: 'all' }) });
fastifyStore();

const io = new Server(server, { transports: ['websocket'] });
io.adapter(createAdapter(nodes, { history: 1000 }));
drain(io, nodes, { within: 1000 });

nodes.metrics(register);
nodes.metrics(register, new Registry());

async function commands(): Promise<number> {
  await nodes.ready();
  const { slots } = await nodes.reload();
  const { to } = await nodes.scale(2);
  const { requestsFailed } = await nodes.restart(0);
  const status = await nodes.status();
  return slots.length + to + (requestsFailed ?? 0) + status.slots.filter(({ state }) => state === 'serving').length;
}
void commands;
void multiNode.listen;

async function messages(): Promise<number> {
  const chat = nodes.topic<{ text: string }>('chat', { history: 50 });
  chat.on('message', ({ text }, { from }) => text.toUpperCase() + from).on('lag', ({ missed }) => missed.toFixed());
  chat.on('undecodable', ({ error }) => error.message);
  const lagging: boolean = !chat.publish({ text: 'hello' });
  const room: Promise<void> = chat.room();
  for await (const { value, from, missed } of chat) {
    if (missed !== undefined) return missed;
    if (lagging) return from.length + (value?.text.length ?? 0);
  }
  const { unconfirmed } = await chat.subscribed;
  const stop = nodes.respond('square', async (number: number, { from }) => [number * number, from]);
  const squared = await nodes.request<[number, string]>('square', 2, { to: 'node-1', timeout: 100, signal: AbortSignal.timeout(10) });
  await nodes.request('square', 2, { to: 0 });
  const all = await nodes.requestAll<[number, string]>('square', 2, { timeout: 100 });
  stop();
  chat.close();
  return squared[0] + unconfirmed.length + [...all.values()].filter(({ value, error }) => value?.[0] || error?.code).length;
}
void messages;

const { allowed, remaining, retryAfter } = nodes.limit('login', { limit: 100, per: 60_000 }).check('client');
const jobs = nodes.counter('jobs');
jobs.add(allowed ? remaining : retryAfter);
jobs.value.toFixed();
const online = nodes.gauge('online');
online.add(-1);
online.set(online.value);
const over: Promise<void> = nodes.leader('cron', async (signal) => signal.aborted);
void over;

new SessionStore(nodes, { path: '/var/lib/app', ttl: 1000 }).get('sid', (error, session) => void [error, session]);
new SessionStore().set('sid', {});

// @ts-expect-error there is no such option
new SessionStore({ pat: '/var/lib/app' });
// @ts-expect-error there is no such option
listen({ prot: 8080 }, server);
// @ts-expect-error a further server needs a port
listen({}, [server, { server }]);
// @ts-expect-error a history is a number
nodes.topic('chat', { history: 'long' });
// @ts-expect-error the topic has values of another type
nodes.topic<string>('chat').publish(7);
// @ts-expect-error no register
nodes.metrics();
// @ts-expect-error a name is no server
listen({}, 'server.js');
