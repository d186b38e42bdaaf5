'use strict';
// Requests in a process that serves alone, which asks itself.

const { batchOf, kept, lengthOf } = require('./batch.js');
const { failure } = require('./errors.js');

const WHAT = { asked: 0, answered: 1, answeredByOne: 2, answeredByAll: 3 };

/** The library's bounds. */
const MOST = { name: 255, handlers: 1024 };

class LocalCalls {
  #me;
  #most;
  #turn;
  #handlers = new Set();
  #running = new Map();
  #messages = [];
  #number = 0;

  constructor(me, most, turn) {
    this.#me = me;
    this.#most = most;
    this.#turn = turn;
  }

  respond(name) {
    const refuse = (why) => failure('HANDLER', why);
    const length = Buffer.byteLength(name);
    if (length === 0 || length > MOST.name) throw refuse(`a handler's name has 1 to ${MOST.name} bytes, this one has ${length}`);
    if (this.#handlers.has(name)) throw refuse(`this process already has a handler \`${name}\``);
    if (this.#handlers.size >= MOST.handlers) throw refuse(`this process already has ${MOST.handlers} handlers`);
    this.#handlers.add(name);
  }

  stopResponding(name) {
    this.#handlers.delete(name);
  }

  request(ticket, name, content, { id, slot, timeout }) {
    this.#begin({ ticket, name, content, timeout, what: WHAT.answered }, this.#refusalOf(name, content, { id, slot }));
  }

  requestAll(ticket, name, content, timeout) {
    if (!this.#handlers.has(name)) this.#say(WHAT.answeredByAll, ticket, '', '', '""');
    else this.#begin({ ticket, name, content, timeout, what: WHAT.answeredByOne }, this.#refusalOf(name, content, {}));
  }

  #refusalOf(name, content, { id, slot }) {
    const length = lengthOf(content);
    if (id !== undefined && id !== this.#me) return failure('NO_SUCH_NODE', `${id} is not there: an id ends with its process; name a slot to reach the node that is in it now`);
    if (slot !== undefined && slot !== 0) return failure('NO_SUCH_NODE', `slot ${slot} is not there`);
    if (length > this.#most.message) {
      return failure('TOO_LARGE', `the request has ${length} bytes, which is more than allowed: raise \`maxMessage\`, or send less`);
    }
    if (!this.#handlers.has(name)) return failure('NO_HANDLER', `there is no handler \`${name}\` at ${this.#me}`);
    return this.#running.size < this.#most.requests ? null : failure('OVERLOADED', 'too many requests are in flight');
  }

  #begin(call, refusal) {
    if (refusal !== null) {
      this.#end(call, refusal);
      return;
    }
    this.#number += 1;
    const number = this.#number;
    const late = () => this.#finish(number, failure('TIMED_OUT', `no answer within ${call.timeout} ms`));
    call.timer = setTimeout(late, Math.min(call.timeout, 0x7fff_ffff));
    this.#running.set(number, call);
    this.#say(WHAT.asked, number, call.name, this.#me, call.content);
  }

  cancel(ticket) {
    for (const [number, call] of this.#running) {
      if (call.ticket !== ticket) continue;
      clearTimeout(call.timer);
      this.#running.delete(number);
    }
  }

  reply(number, content) {
    this.#finish(number, null, content);
  }

  replyFailure(number, message) {
    this.#finish(number, failure('HANDLER_FAILED', `the handler failed: ${message}`));
  }

  #finish(number, error, content) {
    const call = this.#running.get(number);
    if (call === undefined) return;
    clearTimeout(call.timer);
    this.#running.delete(number);
    this.#end(call, error, content);
  }

  #end({ what, ticket }, error, content) {
    const id = what === WHAT.answeredByOne ? this.#me : '';
    if (error) this.#say(what, ticket, error.code, id, JSON.stringify(error.message));
    else this.#say(what, ticket, '', id, content);
    if (what === WHAT.answeredByOne) this.#say(WHAT.answeredByAll, ticket, '', '', '""');
  }

  #say(what, number, first, second, content) {
    this.#messages.push({ from: this.#me, first: [what, number, first, second], content: kept(content) });
    if (this.#messages.length === 1) setImmediate(() => this.#turn());
  }

  take() {
    const messages = this.#messages;
    this.#messages = [];
    return { ...batchOf(messages), more: false };
  }
}

module.exports = { LocalCalls };
