'use strict';
// Long polling in a reload. As soon as another node takes the slot it gets the requests with the slot's ids; it does not know the clients of
// the node before. It tells them to connect again, by the protocol's own packet, where socket.io would answer "Session ID unknown".

/** engine.io's packet that closes a connection. */
const CLOSE = '1';

/** How long requests may reach another process than their owner after a process came or went, in milliseconds. */
const UNSETTLED = 10_000;

/** For one engine of socket.io. */
function reconnectStrays(engine, nodes, channel) {
  const mayStray = (sid) => nodes.owns(sid) === true || Date.now() < channel.changedAt + UNSETTLED;
  engine.use((request, response, next) => {
    const { sid, transport } = request._query;
    const isStray = typeof sid === 'string' && transport === 'polling' && !Object.hasOwn(engine.clients, sid);
    // Where affinity does not work at all, another process than the owner gets them at any time: that has to show.
    if (!isStray || request.headers.upgrade !== undefined || !mayStray(sid)) return next();
    request.resume();
    response.setHeader('content-type', 'text/plain; charset=UTF-8');
    response.setHeader('cache-control', 'no-store');
    response.end(request.method === 'GET' ? CLOSE : 'ok');
  });
}

module.exports = { reconnectStrays };
