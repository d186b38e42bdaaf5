'use strict';
// What the system refuses becomes an error whose sentence says what to do, with the fields of Node.js's own errors.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const { once } = require('node:events');
const { test } = require('node:test');
const { needs } = require('./needs.js');
const { program } = require('./program.js');

/** The first port that needs no privilege. */
const free = Number(fs.readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
/** Takes from root what others do not have. */
const without = process.getuid() === 0 ? ['setpriv', '--bounding-set=-net_bind_service'] : [];
const possible = without.length === 0 || spawnSync(without[0], [...without.slice(1), 'true']).status === 0;
const skip =
  needs(free > 80, 'port 80 needs no privilege here (net.ipv4.ip_unprivileged_port_start)') ||
  needs(possible, `\`${without.join(' ')}\` does not work here; scripts/install-tools.sh installs it`);

/** Prints the error that `listen` gives, or leaves that to Node.js where the server has no listener for it. */
const source = (port, nodes, heard) => `
  const server = require("http").createServer(() => {});
  const tell = ({ message, code, syscall, address, port }) => console.log(JSON.stringify({ message, code, syscall, address, port }));
  ${heard ? 'server.on("error", tell);' : ''}
  require("@multi-node/server").listen({ port: ${port}, host: "127.0.0.1", nodes: ${nodes} }, server);
`;

/** Two programs are refused: one gets the error, the other prints its message once. */
async function refusal(t, port, code, remedy, under = []) {
  const heard = await program(t, source(port, 2, true), { under });
  await heard.ended;
  await heard.closed;
  const { message, ...fields } = JSON.parse(heard.output);
  assert.deepEqual(fields, { code, syscall: 'listen', address: '127.0.0.1', port });
  assert.match(message, remedy);
  const unheard = await program(t, source(port, 2, false), { under });
  assert.equal(await unheard.ended, 1);
  await unheard.closed;
  assert.equal(unheard.output.split(message).length, 2, unheard.output);
}

test('a port for root alone is told with what to do', { skip }, async (t) => {
  await refusal(t, 80, 'EACCES', /^cannot listen on 127\.0\.0\.1:80: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE$/, without);
});

test('a port that another program has is told with what to do', async (t) => {
  const other = net.createServer().listen(0, '127.0.0.1');
  t.after(() => other.close());
  await once(other, 'listening');
  const { port } = other.address();
  const remedy = `another program has this port \\(\`ss -ltnp 'sport = :${port}'\` tells which\\); stop it or choose another`;
  await refusal(t, port, 'EADDRINUSE', new RegExp(`^cannot listen on 127\\.0\\.0\\.1:${port}: address already in use; ${remedy}$`));
});

test('one process tells it as Node.js does', { skip }, async (t) => {
  const server = await program(t, source(80, 0, true), { under: without });
  await server.says(/"code":"EACCES","syscall":"listen","address":"127\.0\.0\.1","port":80/);
});
