'use strict';
// The recipes of docs/leader.md for schedulers, with the schedulers themselves.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { program, until } = require('./program.js');

/** Each gives `schedule(work)`, which does the work each second, and returns how to stop and to await the last tick. */
const SCHEDULERS = {
  'node-cron': `
    const schedule = (work) => {
      let last;
      const task = require("node-cron").schedule("* * * * * *", () => (last = work()), { noOverlap: true });
      return async () => { await task.stop(); await last; };
    };`,
  croner: `
    const schedule = (work) => {
      let last;
      const task = new (require("croner").Cron)("* * * * * *", { protect: true }, () => (last = work()));
      return async () => { task.stop(); await last; };
    };`,
};

/** The work takes longer than a second; the third one lasts until its node has lost the lease. */
const SOURCE = (scheduler) => `
  const { once } = require("node:events");
  const { setTimeout: sleep } = require("node:timers/promises");
  ${SCHEDULERS[scheduler]}
  const server = require("http").createServer((request, response) => response.end());
  const nodes = require("@multi-node/server").listen({ port: PORT, nodes: 2 }, server);
  let count = 0;
  nodes.leader("job", async (signal) => {
    const stop = schedule(async () => {
      console.log("begin", process.pid, Date.now());
      if (++count === 3) await once(signal, "abort");
      await sleep(1300);
      console.log("end", process.pid);
    });
    await once(signal, "abort");
    console.log("lost", process.pid);
    await stop();
  });
`;

const begun = (server) => [...server.output.matchAll(/^begin (\d+) (\d+)$/gm)].map(([, pid, at]) => ({ pid: Number(pid), at: Number(at) }));

for (const scheduler of Object.keys(SCHEDULERS)) {
  test(`ticks of ${scheduler} neither overlap nor pile up, and a reload waits for the last one`, async (t) => {
    const server = await program(t, SOURCE(scheduler));
    await until('three ticks', () => begun(server).length === 3);
    const [first, , third] = begun(server);
    assert.ok(third.at - first.at > 3500, 'what comes due during the work is dropped');
    process.kill(server.pid, 'SIGHUP');
    await until('a tick of the new program', () => begun(server).at(-1).pid !== first.pid);
    const lines = server.output.split('\n').filter((line) => /^(begin|lost|end) /.test(line)).map((line) => line.split(' ').slice(0, 2).join(' '));
    const lost = lines.indexOf(`lost ${first.pid}`);
    const ended = lines.lastIndexOf(`end ${first.pid}`);
    assert.ok(lost > 0 && lost < ended, `the last tick is awaited: ${lines}`);
    assert.equal(lines[ended + 1], `begin ${begun(server).at(-1).pid}`);
    const ticks = lines.filter((line) => !line.startsWith('lost'));
    ticks.forEach((line, at) => assert.match(line, at % 2 === 0 ? /^begin/ : /^end/, `no two at once: ${ticks}`));
    assert.equal(await server.stop(), 0);
  });
}
