'use strict';
// What a measurement of `multi-node-bench bus` sends, and what a subscriber counts. The arguments are the task and the number of messages.

const { setTimeout: sleep, setImmediate: turn } = require('node:timers/promises');

const [task, count] = [process.argv[2], Number(process.argv[3])];
const BYTES = 64;
const BURST = 256;
/** After this many messages the event loop runs, as the runtime does in the Rust programs. */
const TURN = 1024;

/** Sends all messages by `send`; after each burst waits for `room`, so that nobody has to miss any. At rest one at a time. */
async function messages(send, room) {
  for (let number = 0; number < count; number += 1) {
    const stamped = task === 'at-rest' || number === 0;
    send(stamped ? now() : 0);
    if (task === 'at-rest') await sleep(2);
    else if (number % BURST === BURST - 1) await room();
    if (number % TURN === TURN - 1) await turn();
  }
}

/** Nanoseconds by the clock that all processes of a machine share. A double is exact for 104 days. */
function now() {
  return Number(process.hrtime.bigint());
}

class Counted {
  #seen = 0;
  #missed = 0;
  #first = 0;
  #micros = [];

  /** A message, by when it was sent, or 0. */
  take(sent) {
    this.#seen += 1;
    if (sent) {
      this.#first ||= sent;
      this.#micros.push(Math.round((now() - sent) / 1e3));
    }
    this.#look();
  }

  miss(messages) {
    this.#missed += messages;
    this.#look();
  }

  #look() {
    if (this.#seen + this.#missed !== count) return;
    const seconds = (now() - this.#first) / 1e9;
    process.stdout.write(`${JSON.stringify({ seconds, missed: this.#missed, micros: this.#micros })}\n`);
  }
}

module.exports = { BYTES, Counted, SUBSCRIBERS: 7, messages };
