'use strict';
// What all stores of sessions have in common.

const { EventEmitter } = require('node:events');
const { failure } = require('./errors.js');
const { nearest } = require('./nearest.js');

/** How long a session is kept if its cookie has no expiry. */
const DAY = 86_400_000;

const count = { is: (value) => Number.isSafeInteger(value) && value > 0, what: 'a whole number above 0' };
const ttl = { is: (value) => Number.isFinite(value) && value > 0, what: 'milliseconds, above 0' };

/** express-session calls methods of its `Store`; others need none of them. */
function baseClass() {
  try {
    return require('express-session').Store;
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    return EventEmitter;
  }
}

/** Until when a session is kept, in milliseconds since 1970. */
function expiryOf(session, ttl) {
  const expires = session?.cookie?.expires;
  const at = expires ? new Date(expires).getTime() : Date.now() + ttl;
  return Number.isFinite(at) ? at : Date.now() + ttl;
}

/** Options in messages, as JavaScript writes them. */
function named(error) {
  const names = { max_bytes: 'maxBytes', max_session_bytes: 'maxSessionBytes', busy_deadline: 'busyTimeout' };
  error.message = error.message.replace(/`(\w+)`/g, (quoted, name) => (names[name] ? `\`${names[name]}\`` : quoted));
  return error;
}

function warn(error) {
  if (error) process.emitWarning(error);
}

/** The options of `what`, if they are among those. */
function check(given, what, options) {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (option === undefined) {
      throw failure('OPTION', `there is no option \`${name}\` of ${what}${suggestion(name, Object.keys(options))}`, TypeError);
    }
    if (!option.is(value)) throw failure('OPTION', `option \`${name}\`: ${JSON.stringify(value)} is not allowed; expected ${option.what}`, TypeError);
  }
  return given;
}

function suggestion(name, names) {
  const near = nearest(name, names);
  return near ? `; did you mean \`${near}\`?` : `; there are ${names.join(', ')}`;
}

module.exports = { baseClass, check, count, DAY, expiryOf, named, ttl, warn };
