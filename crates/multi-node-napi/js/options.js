'use strict';
// Options: their names and types are checked here, their values by the library.

const { failure } = require('./errors.js');

const number = { is: (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0, what: 'a number, 0 or more' };
const whole = { is: (value) => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, what: 'a whole number, 0 or more' };
const port = { is: (value) => Number.isInteger(value) && value >= 0 && value <= 65535, what: 'a whole number from 0 to 65535' };
const time = { is: number.is, what: 'milliseconds, 0 or more' };
const flag = { is: (value) => typeof value === 'boolean', what: 'true or false' };
const text = { is: (value) => typeof value === 'string', what: 'a string' };
const texts = {
  is: (value) => text.is(value) || (Array.isArray(value) && value.every(text.is)),
  what: 'a string, or an array of strings',
};
const variables = {
  is: (value) => typeof value === 'object' && value !== null && Object.values(value).every(text.is),
  what: 'an object of strings',
};
const pauses = {
  is: (value) => Array.isArray(value) && value.length === 2 && value.every(time.is),
  what: 'two times in milliseconds: [first, longest]',
};
const crashLoop = {
  is: (value) => typeof value === 'object' && value !== null && whole.is(value.deaths) && time.is(value.within),
  what: '{ deaths, within }, within being milliseconds',
};

/** Every option, and what it may be. */
const OPTIONS = {
  port,
  host: text,
  bind: texts,
  unixMode: whole,
  backlog: whole,
  nodes: whole,
  maxNodes: whole,
  masterListen: flag,
  restart: flag,
  restartChildren: flag,
  backoff: pauses,
  backoffJitter: number,
  crashLoop,
  surge: whole,
  startTimeout: time,
  drainTimeout: time,
  shutdownDelay: time,
  hangTimeout: time,
  maxAge: time,
  maxMemory: number,
  recycleJitter: number,
  control: text,
  metrics: text,
  signals: flag,
  peers: flag,
  ordersFromNodes: flag,
  env: variables,
  maxBuffered: whole,
};

const MAX_BUFFERED = 16 * 1024 * 1024;

/** Checked options, with the defaults of what JavaScript itself goes by. */
function check(options) {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw failure('OPTION', 'the options have to be an object, such as { port: 8080, nodes: 4 }', TypeError);
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) checkOne(name, value);
  const checked = { maxBuffered: MAX_BUFFERED, signals: true, ...Object.fromEntries(given) };
  // The original's name.
  if (checked.restart === undefined && checked.restartChildren !== undefined) checked.restart = checked.restartChildren;
  return checked;
}

function checkOne(name, value) {
  const known = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : null;
  if (known === null) {
    throw failure('OPTION', `there is no option \`${name}\`; there are ${Object.keys(OPTIONS).join(', ')}`, TypeError);
  }
  if (!known.is(value)) {
    throw Object.assign(failure('OPTION', `option \`${name}\`: ${show(value)} is not allowed; expected ${known.what}`, TypeError), {
      option: name,
    });
  }
}

function show(value) {
  return typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? String(value));
}

/** What the binding takes, and what it adds to start nodes as this process was started. */
function forLibrary(options) {
  const { restartChildren, signals, maxBuffered, bind = [], env = {}, ...rest } = options;
  return {
    ...rest,
    bind: [bind].flat(),
    env: Object.entries(env),
    program: process.execPath,
    execArgs: process.execArgv,
    args: process.argv.slice(1),
    inspectPort: inspectPort(),
  };
}

const INSPECTS = /--inspect(?:-brk|-port|-wait)?\b|--debug-port\b/;

/** The port of this process's inspector, where it was asked for one. */
function inspectPort() {
  const asked = process.execArgv.some((arg) => INSPECTS.test(arg)) || INSPECTS.test(process.env.NODE_OPTIONS ?? '');
  return asked ? process.debugPort : undefined;
}

module.exports = { check, forLibrary };
