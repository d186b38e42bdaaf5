'use strict';
// A cache in each node (worker process), kept right by a topic: who changes a value tells all others that theirs is stale.
// Run `npm install @multi-node/server express` and `node cache.js`; then `curl localhost:8080/price` and `curl -X PUT localhost:8080/price/7`.

const fs = require('node:fs');
const { setTimeout: sleep } = require('node:timers/promises');
const express = require('express');
const { listen } = require('@multi-node/server');

/** What all processes share and is slow to read, as a database is. */
const DATABASE = process.env.DATABASE ?? 'prices.json';
const load = async (key) => {
  const value = JSON.parse(fs.readFileSync(DATABASE, 'utf8'))[key];
  await sleep(50);
  return value;
};

const cached = new Map();
/** Counts the messages about stale values. */
let generation = 0;

/**
 * A load that began before a change may end after the message about it. What it read is old, and nobody would drop it again if it were
 * cached. So a value is kept only if no message has come since its load began. (Where changes are frequent, count for each key.)
 */
async function get(key) {
  if (cached.has(key)) return cached.get(key);
  const before = generation;
  const value = await load(key);
  if (generation === before || process.env.UNCHECKED) cached.set(key, value);
  return value;
}

function drop(key) {
  generation += 1;
  cached.delete(key);
}

/** Messages are missing, so any value may be stale. */
function dropAll() {
  generation += 1;
  cached.clear();
}

const app = express();
const nodes = listen({ port: 8080, nodes: 4 }, app);
const stale = nodes.topic('stale');
stale.on('message', drop).on('lag', dropAll);

app.get('/:key', async (request, response) => response.json(await get(request.params.key)));
app.put('/:key/:value', (request, response) => {
  const { key, value } = request.params;
  // First the change, then the message: a load that the message causes must find the new value. A database changes it in a transaction.
  fs.writeFileSync(`${DATABASE}.new`, JSON.stringify({ ...JSON.parse(fs.readFileSync(DATABASE, 'utf8')), [key]: Number(value) }));
  fs.renameSync(`${DATABASE}.new`, DATABASE);
  stale.publish(key);
  response.end();
});
