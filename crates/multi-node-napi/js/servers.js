'use strict';
// What can be served: servers of Node.js, and what makes one.

const http = require('node:http');
const net = require('node:net');
const { failure } = require('./errors.js');

/** A list of `{ server, ready, bind }`. Only the first may be without its own address. */
function declare(given, options) {
  const list = Array.isArray(given) ? given : [given];
  if (list.length === 0) throw failure('SERVER', 'there is no server to serve', TypeError);
  const declared = list.map(declareOne);
  if (new Set(declared.map(({ server }) => server)).size < declared.length) {
    throw failure('SERVER', 'one server was given twice; give further addresses by the option `bind`', TypeError);
  }
  for (const { server } of declared) {
    if (server.listening) throw failure('SERVER', 'the server listens already; leave `server.listen()` to `listen`', TypeError);
  }
  const [first, ...more] = declared;
  // An address of the first is that of the options.
  Object.assign(options, first.address);
  for (const { address } of more) {
    if (address === null) {
      throw failure('SERVER', 'each server but the first needs an address of its own: { port, server }', TypeError);
    }
  }
  if (options.certificates !== undefined && !declared.some(({ server }) => hasTls(server))) {
    throw failure('OPTION', 'option `certificates`: no server has TLS; give one of `https.createServer` or `http2.createSecureServer`', TypeError);
  }
  return declared.map(({ address, ...rest }) => ({ ...rest, bind: address && bindOf(address) }));
}

const hasTls = (server) => typeof server.setSecureContext === 'function';

/** The servers whose clients speak HTTP/1 without TLS. */
const http1Servers = (declared) => declared.flatMap(({ server }, index) => (server instanceof http.Server ? [index] : []));

/** The servers with TLS. */
const tlsServers = (declared) => declared.flatMap(({ server }, index) => (hasTls(server) ? [index] : []));

function declareOne(given) {
  const own = given !== null && typeof given === 'object' && given.server !== undefined && !isApp(given);
  if (!own) return { ...serverOf(given), address: null };
  const { server, host, port, ...rest } = given;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    throw failure('OPTION', `there is no option \`${unknown}\` of a server; there are server, host, port`, TypeError);
  }
  if (host !== undefined && (typeof host !== 'string' || host === '')) {
    throw failure('OPTION', `option \`host\` of a server: ${JSON.stringify(host)} is not allowed; expected an address or a name`, TypeError);
  }
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw failure('OPTION', `option \`port\` of a server: ${port} is not allowed; expected a whole number from 0 to 65535`, TypeError);
  }
  return { ...serverOf(server), address: host === undefined ? { port } : { host, port } };
}

function bindOf({ host = '0.0.0.0', port }) {
  return net.isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** In Bun servers of HTTP and HTTPS are none of `net`. */
const isServer = (given) => given instanceof net.Server || given instanceof http.Server;

/** Applications that bring their server: Fastify. */
function isApp(given) {
  return isServer(given.server) && typeof given.ready === 'function';
}

/** The server of what was given, and a promise of its readiness where it has one. */
function serverOf(given) {
  const ready = () => undefined;
  if (isServer(given)) return { server: given, ready };
  if (given !== null && typeof given === 'object') {
    if (isApp(given)) return { server: given.server, ready: () => given.ready() };
    // Koa, whose applications are no functions.
    if (typeof given.callback === 'function') return { server: http.createServer(given.callback()), ready };
  }
  if (typeof given === 'function') return { server: http.createServer(given), ready };
  throw failure(
    'SERVER',
    'expected a server (net, http, https, http2), a request handler, or an Express, Koa or Fastify application',
    TypeError,
  );
}

module.exports = { declare, http1Servers, tlsServers };
