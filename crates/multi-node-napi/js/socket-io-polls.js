'use strict';
// Clients of long polling in a reload. As soon as another node takes the slot it gets the requests with the slot's ids; it does not know the
// clients of the node before. It tells them to connect again, by the protocol's own packet, where socket.io would answer "Session ID unknown".

const { debuglog } = require('node:util');

/** `NODE_DEBUG=multi-node` shows why a client has to connect again. */
const debug = debuglog('multi-node');

/** engine.io's packet that closes a connection. */
const CLOSE = '1';

/** To a client that wants to go on by WebSocket: it goes on by long polling, where it gets that packet. */
const NO_UPGRADE = 'HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

/** How long requests may reach another process than their owner after a process came or went, in milliseconds. */
const UNSETTLED = 10_000;

/** For one engine of socket.io. */
function reconnectStrays(engine, nodes, channel) {
  engine.use((request, response, next) => {
    const { sid, transport } = request._query;
    if (typeof sid !== 'string' || Object.hasOwn(engine.clients, sid)) return next();
    const [owns, age] = [nodes.owns(sid), Date.now() - channel.changedAt];
    const isUpgrade = request.headers.upgrade !== undefined;
    // Where affinity does not work at all, another process than the owner gets them at any time: that has to show.
    const mayStray = (isUpgrade || transport === 'polling') && (owns === true || age < UNSETTLED);
    debug('socket.io: %s by %s of an unknown client, %s; owned here: %s; processes changed %d ms ago', request.method, transport, mayStray ? 'connects again' : 'is refused', owns, age);
    if (!mayStray) return next();
    if (isUpgrade) return request.socket.end(NO_UPGRADE);
    request.resume();
    response.setHeader('content-type', 'text/plain; charset=UTF-8');
    response.setHeader('cache-control', 'no-store');
    response.end(request.method === 'GET' ? CLOSE : 'ok');
  });
}

module.exports = { reconnectStrays };
