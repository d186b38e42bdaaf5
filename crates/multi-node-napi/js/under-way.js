'use strict';
// Connections that were offered to another process, until that has taken them or not.

class UnderWay {
  #tickets;
  #offered = new Map();
  #sockets = new Set();

  /** `tickets`: numbers that nothing else in this process uses. */
  constructor(tickets) {
    this.#tickets = tickets;
  }

  has(socket) {
    return this.#sockets.has(socket);
  }

  /** Offers a connection by `offer(ticket)`, unless that gives `false`. `refused` is called if no process takes it. */
  offer(socket, offer, refused) {
    const ticket = this.#tickets.next().value;
    if (!offer(ticket)) return false;
    this.#offered.set(ticket, { socket, refused });
    this.#sockets.add(socket);
    socket.setTimeout(0);
    return true;
  }

  /** Says what became of it. */
  ended(ticket, taken) {
    const offered = this.#offered.get(ticket);
    if (offered === undefined) return;
    this.#offered.delete(ticket);
    this.#sockets.delete(offered.socket);
    if (taken) offered.socket.destroy();
    else offered.refused();
  }
}

module.exports = { UnderWay };
