'use strict';
// The bounds of topics, requests and limits are options, with nodes and alone.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program } = require('./program.js');

const BOUNDS = 'maxMessage: 2048, maxPeerBacklog: 65536, maxSubscriptionBacklog: 10, maxRequestsInFlight: 3, maxKeys: 1';

for (const [how, options] of [['with nodes', 'nodes: 1'], ['alone', 'nodes: 0']]) {
  test(`bounds hold ${how}`, async (t) => {
    const server = await program(t, `
      const server = require("http").createServer((request, response) => response.end());
      const nodes = require("@multi-node/server").listen({ port: PORT, ${options}, ${BOUNDS} }, server);
      const code = (error) => String(error.code ?? error).replace("ERR_MULTI_NODE_", "");
      const codeOf = (act) => { try { return String(act()); } catch (error) { return code(error); } };
      if (nodes.isMaster) (async () => {
        await nodes.ready();
        const topic = nodes.topic("bounds");
        console.log("message", codeOf(() => topic.publish("x".repeat(2046))), codeOf(() => topic.publish("x".repeat(2047))));
        const items = topic[Symbol.asyncIterator]();
        for (let number = 0; number < 12; number += 1) topic.publish(number);
        let read = [];
        while (read.length < 11) read.push((await items.next()).value);
        console.log("backlog", read.filter(({ missed }) => missed === undefined).length, read.at(-1).missed);
        nodes.respond("never", () => new Promise(() => undefined));
        const asked = Array.from({ length: 5 }, () => nodes.request("never", 1, { to: nodes.id, timeout: 300 }).catch(code));
        console.log("requests", (await Promise.all(asked)).sort().join());
        console.log("request", await nodes.request("never", "x".repeat(2047), { to: nodes.id }).catch(code));
        console.log("end");
      })();
    `);
    await server.says(/^end/m);
    const said = server.output.trim().split('\n').filter((line) => /^(message|backlog|requests?) /.test(line));
    assert.deepEqual(said, ['message true TOO_LARGE', 'backlog 10 2', 'requests OVERLOADED,OVERLOADED,TIMED_OUT,TIMED_OUT,TIMED_OUT', 'request TOO_LARGE']);
    assert.equal(await server.stop(), 0);
  });
}

test('a bound that the library refuses is named as JavaScript writes it', async (t) => {
  const server = await program(t, `
    try {
      require("@multi-node/server").listen({ port: PORT, nodes: 1, maxMessage: 5 }, () => undefined);
    } catch ({ code, message }) {
      console.log(code, message);
    }
  `);
  await server.says(/ERR_MULTI_NODE_OPTION option `maxMessage`: "5" is not allowed; allowed are 1024 to 16777216/);
});
