'use strict';
// What a measurement of `multi-node-bench bus` sends, and what a subscriber counts. The arguments are the task and the number of messages.

const { setTimeout: sleep, setImmediate: turn } = require('node:timers/promises');

const [task, count] = [process.argv[2], Number(process.argv[3])];
const BYTES = 64;

/** Sends all messages by `send`, as many at once as a burst; at rest one at a time. */
async function messages(send) {
  for (let number = 0; number < count; number += 1) {
    const stamped = task === 'at-rest' || number === 0;
    const sent = send(stamped ? process.hrtime.bigint() : 0n);
    if (task === 'at-rest') await sleep(2);
    else if (number % 256 === 255) {
      await sent;
      await turn();
    }
  }
}

class Counted {
  #seen = 0;
  #missed = 0;
  #first = 0n;
  #micros = [];

  /** A message, by when it was sent, or 0. */
  take(sent) {
    this.#seen += 1;
    if (sent) {
      this.#first ||= sent;
      this.#micros.push(Math.round(Number(process.hrtime.bigint() - sent) / 1e3));
    }
    this.#look();
  }

  miss(messages) {
    this.#missed += messages;
    this.#look();
  }

  #look() {
    if (this.#seen + this.#missed !== count) return;
    const seconds = Number(process.hrtime.bigint() - this.#first) / 1e9;
    process.stdout.write(`${JSON.stringify({ seconds, missed: this.#missed, micros: this.#micros })}\n`);
  }
}

module.exports = { BYTES, Counted, SUBSCRIBERS: 7, messages };
