'use strict';
// One worker: runs the scenarios that it is given, one after the other, and appends a line with what each has found to the file
// RESULTS. It runs under node:cluster by primary.js, and under `multi-node run`.

const fs = require('node:fs');
const path = require('node:path');
const tools = require('./tools.js');

/** No scenario takes longer, in milliseconds. */
const LIMIT = 10_000;

async function run(name) {
  const scenario = require(path.join(__dirname, 'scenarios', `${name}.js`));
  const late = new Promise((resolve) => setTimeout(resolve, LIMIT, 'it does not end').unref());
  const found = await Promise.race([scenario(tools), late]).catch((error) => tools.codeOf(error));
  fs.appendFileSync(process.env.RESULTS, `${JSON.stringify([name, found])}\n`);
}

async function main() {
  // What keeps it running is nobody's scenario.
  setInterval(() => undefined, 1000);
  // For `run` it is ready when a server listens; that of the first scenario may be gone by then.
  const [place, ...names] = process.argv.slice(2);
  await tools.listening(require('node:net').createServer(), { path: place });
  for (const name of names) await run(name);
  fs.appendFileSync(process.env.RESULTS, `${JSON.stringify(['done', true])}\n`);
  // Nobody ends a worker that has disconnected.
  if (!process.connected) process.exit();
}

main();
