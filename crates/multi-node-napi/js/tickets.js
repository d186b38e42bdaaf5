'use strict';
// TLS: a client that comes back resumes its session at whichever node it reaches, since all have the same keys of tickets.

/** What `setTicketKeys` takes. */
const LENGTH = 48;

/** Gives a TLS server the program's keys, also when it gets another certificate; one that was given keys of its own keeps those. */
function shareTickets(server, secret) {
  if (secret === null || typeof server.setTicketKeys !== 'function') return;
  // A TLS server has loaded it already; a node that serves none starts sooner without.
  const { hkdfSync } = require('node:crypto');
  const keys = Buffer.from(hkdfSync('sha256', secret, '', 'multi-node: TLS session tickets', LENGTH));
  const share = () => {
    if (server.ticketKeys === undefined) server.setTicketKeys(keys);
  };
  const { setSecureContext } = server;
  server.setSecureContext = function (options) {
    setSecureContext.call(this, options);
    share();
  };
  share();
}

module.exports = { shareTickets };
