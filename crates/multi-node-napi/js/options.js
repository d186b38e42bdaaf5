'use strict';
// Options: their names and types are checked here, their values by the library.

const path = require('node:path');
const { isNode } = require('./binary.js');
const { failure } = require('./errors.js');
const { commands, installed } = require('./places.js');

const number = { is: (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0, what: 'a number, 0 or more' };
const whole = { is: (value) => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, what: 'a whole number, 0 or more' };
const port = { is: (value) => Number.isInteger(value) && value >= 0 && value <= 65535, what: 'a whole number from 0 to 65535' };
const time = { is: number.is, what: 'milliseconds, 0 or more' };
const flag = { is: (value) => typeof value === 'boolean', what: 'true or false' };
const count = { is: (value) => Number.isSafeInteger(value) && value >= 0, what: 'a whole number, 0 or more' };
const text = { is: (value) => typeof value === 'string', what: 'a string' };
const host = { is: (value) => text.is(value) && value !== '', what: 'an address or a name; "0.0.0.0" and "::" mean all addresses' };
const controlName = { is: (value) => value === false || (text.is(value) && value !== ''), what: 'a name, or false' };
const file = { is: (value) => text.is(value) && value !== '', what: 'the path of a file' };
const isRecord = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const texts = {
  is: (value) => text.is(value) || (Array.isArray(value) && value.every(text.is)),
  what: 'a string, or an array of strings',
};
const list = { is: (value) => Array.isArray(value) && value.every(text.is), what: 'an array of strings' };
const variables = {
  is: (value) => isRecord(value) && Object.values(value).every(text.is),
  what: 'an object of strings',
};
const pauses = {
  is: (value) => Array.isArray(value) && value.length === 2 && value.every(time.is),
  what: 'two times in milliseconds: [first, longest]',
};
const crashLoop = { is: isRecord, what: '{ deaths, within }, within being milliseconds', needs: { deaths: whole, within: time }, takes: {} };
const canary = {
  is: isRecord,
  what: '{ duration, minRequests, margin }, duration being milliseconds',
  needs: { duration: time },
  takes: { minRequests: whole, margin: number },
};
const name = { is: text.is, what: 'a name' };
const affinity = {
  is: isRecord,
  what: 'one of { cookie }, { query }, { header }, each with a name, and { clientAddress: true }',
  needs: {},
  takes: { cookie: name, query: name, header: name, clientAddress: { is: (value) => value === true, what: 'true' } },
  isOne: true,
};
const certificates = {
  is: isRecord,
  what: '{ cert, key, ticketKeys }, the paths of files',
  needs: { cert: file, key: file },
  takes: { ticketKeys: file },
};
const keyPair = { is: (value) => isRecord(value) && file.is(value.cert) && file.is(value.key), what: '{ cert, key }, the paths of two files' };
const join = {
  is: (value) => (text.is(value) && value !== '') || isRecord(value),
  what: 'a URL of NATS, or { url, machine, cluster, credentials, nkey, clientCertificate, rootCertificates, insecureBus, remoteCommands }',
  needs: { url: text },
  takes: { machine: name, cluster: name, credentials: file, nkey: file, clientCertificate: keyPair, rootCertificates: file, insecureBus: flag, remoteCommands: flag },
};
const account = { is: (value) => whole.is(value) || (text.is(value) && value !== ''), what: 'a name or a number' };
const RULES = ['sum', 'max', 'min', 'mean', 'first', 'omit'];
const rules = {
  is: (value) => isRecord(value) && Object.values(value).every((rule) => RULES.includes(rule)),
  what: `an object of ${RULES.map((rule) => JSON.stringify(rule)).join(', ')} by the names of gauges`,
};
const perSlot = { is: (value) => typeof value === 'function', what: 'a function from a slot to an array of strings' };

/** Those that are one value each, as they stand in the library's table. */
const TABLE = {
  unixMode: whole,
  backlog: whole,
  maxNodes: whole,
  masterListen: flag,
  restart: flag,
  surge: whole,
  startTimeout: time,
  drainTimeout: time,
  shutdownDelay: time,
  hangTimeout: time,
  adoptTimeout: time,
  maxRequests: count,
  maxAge: time,
  maxMemory: count,
  signals: flag,
  peers: flag,
  commandsFromNodes: flag,
  logToStderr: flag,
  warnBeforeListen: flag,
  maxKeys: whole,
  maxMessage: whole,
  maxPeerBacklog: whole,
  maxSubscriptionBacklog: whole,
  maxRequestsInFlight: whole,
};

/** Every option, and what it may be. */
const OPTIONS = {
  port,
  host,
  bind: texts,
  addresses: texts,
  nodes: whole,
  restartChildren: flag,
  backoff: pauses,
  crashLoop,
  canary,
  certificates,
  affinity,
  join,
  control: controlName,
  metrics: text,
  aggregateGauge: rules,
  program: text,
  args: list,
  slotArgs: perSlot,
  env: variables,
  user: account,
  group: account,
  umask: whole,
  maxBuffered: whole,
  slowPeerTimeout: time,
  ...TABLE,
};

/** As in the library. */
const MAX_NODES = 256;
const MAX_BUFFERED = 256 * 1024 * 1024;
/** Milliseconds. */
const SLOW_PEER_TIMEOUT = 10_000;

/** What a command line says of a program, whose modules see another: the options that it names, and the line that starts nodes. */
const command = { options: {}, argv: null };

/** Lets a command line's options take the place of the program's own, and nodes be started by that line. */
function obey(options, argv) {
  command.options = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  command.argv = argv;
}

/** Checked options, with the defaults of what JavaScript itself goes by. */
function check(options) {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw failure('OPTION', 'the options have to be an object, such as { port: 8080, nodes: 4 }', TypeError);
  }
  const given = Object.entries({ ...options, ...command.options }).filter(([, value]) => value !== undefined);
  for (const [name, value] of given) checkOne(name, value);
  const checked = { maxBuffered: MAX_BUFFERED, slowPeerTimeout: SLOW_PEER_TIMEOUT, signals: true, logToStderr: true, ...Object.fromEntries(given) };
  // The original's name.
  if (checked.restart === undefined && checked.restartChildren !== undefined) checked.restart = checked.restartChildren;
  return checked;
}

function checkOne(name, value) {
  const known = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : null;
  if (known === null) {
    const { nearest } = require('./nearest.js');
    const meant = nearest(name, Object.keys(OPTIONS));
    const there = meant === null ? `there are ${Object.keys(OPTIONS).join(', ')}` : `did you mean \`${meant}\`?`;
    throw failure('OPTION', `there is no option \`${name}\`; ${there}`, TypeError);
  }
  if (value === null || !known.is(value)) {
    throw wrong(name, value, known.what);
  }
  if (known.needs !== undefined && isRecord(value)) checkParts(name, value, known);
}

/** Checks an option that has parts with names of their own. */
function checkParts(option, value, { needs, takes, what, isOne = false }) {
  const parts = { ...takes, ...needs };
  for (const [name, part] of Object.entries(value)) {
    if (part === undefined) continue;
    if (!Object.hasOwn(parts, name)) {
      throw failure('OPTION', `option \`${option}\`: there is no \`${name}\`; expected ${what}`, TypeError);
    }
    if (!parts[name].is(part)) throw wrong(`${option}.${name}`, part, parts[name].what);
  }
  const missing = Object.keys(needs).find((name) => value[name] === undefined);
  if (missing !== undefined) throw wrong(option, value, `${what}; \`${missing}\` is missing`);
  if (isOne && Object.values(value).filter((part) => part !== undefined).length !== 1) throw wrong(option, value, what);
}

function wrong(option, value, what) {
  const message = `option \`${option}\`: ${show(value)} is not allowed; expected ${what}`;
  return Object.assign(failure('OPTION', message, TypeError), { option });
}

function show(value) {
  return typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? String(value));
}

/** Milliseconds; the library allows no more. */
const LONGEST = 366 * 24 * 3600 * 1000;

/** A node at a break point is not hung, and one that waits for its debugger not late. The debugger's connection is no news. */
const UNHURRIED = { hangTimeout: 0, startTimeout: LONGEST, warnBeforeListen: false };

/** What the binding takes, and what it adds to start nodes as this process was started. */
function forLibrary(options) {
  const { restartChildren, signals, maxBuffered, slowPeerTimeout, bind = [], addresses, aggregateGauge = {}, env = {}, slotArgs, user, group, join, ...rest } = options;
  const inspected = inspectPort();
  const args = (command.argv ?? process.argv).slice(1);
  return {
    program: process.execPath,
    args,
    script: process.argv[1] ?? process.execPath,
    ...split({ ...(inspected === undefined ? {} : UNHURRIED), ...rest }),
    user: user === undefined ? undefined : String(user),
    group: group === undefined ? undefined : String(group),
    join: join === undefined ? undefined : joinFor(join),
    bind: [bind].flat(),
    addresses: addresses && [addresses].flat(),
    gauge: Object.entries(aggregateGauge),
    env: Object.entries(env),
    execArgs: process.execArgv,
    startedAs: [process.execPath, ...process.execArgv, ...args],
    slotArgs: slotArgs ? argsOfSlots(slotArgs, options.maxNodes ?? MAX_NODES) : [],
    inspectPort: inspected,
  };
}

/** The gateway to other machines is a process of the command that this package has beside its binding. */
function joinFor(join) {
  const given = typeof join === 'string' ? { url: join } : join;
  const cluster = given.cluster ?? path.basename(process.argv[1] ?? process.execPath);
  const command = isNode ? '' : process.env.MULTI_NODE_COMMAND || installed(commands);
  if (command === undefined) {
    throw failure('NO_BINARY', 'option `join`: this package has no command `multi-node`, which is the gateway to other machines; `npm run build` makes it from the sources');
  }
  const { cert, key } = given.clientCertificate ?? {};
  return { ...given, cluster, clientCertificate: cert === undefined ? [] : [cert, key], gateway: isNode ? [] : [command, '__exec-shim'] };
}

/** The options that are one value each, by their names; and the others. */
function split(options) {
  const entries = Object.entries(options);
  const table = entries.filter(([name]) => Object.hasOwn(TABLE, name)).map(([name, value]) => ({ name, value }));
  return { ...Object.fromEntries(entries.filter(([name]) => !Object.hasOwn(TABLE, name))), table };
}

/** A process that serves alone has no nodes to run as another user, and keeps its own privileges. */
function refuseUser(options) {
  const name = ['user', 'group'].find((one) => options[one] !== undefined);
  if (name) throw wrong(name, options[name], 'nodes: this process serves alone, with its own privileges');
}

/** Nor is it joined to others. */
function refuseJoin({ join }) {
  if (join === undefined) return;
  const url = (typeof join === 'string' ? join : join.url).replace(/\/\/[^/]*@/g, '//');
  throw wrong('join', url, 'nodes: this process serves alone');
}

/** The library asks from a thread that cannot call JavaScript. */
function argsOfSlots(slotArgs, count) {
  return Array.from({ length: count }, (_, slot) => {
    const args = slotArgs(slot);
    if (!list.is(args)) throw wrong('slotArgs', args, `${perSlot.what}; it was called with ${slot}`);
    return args;
  });
}

const INSPECTS = /^--(?:inspect(?:-brk|-port|-wait)?|debug-port)(?:=|$)/;

/** The port of this process's inspector, where it was asked for one; 0 where the system was to choose it. */
function inspectPort() {
  const flags = [...(process.env.NODE_OPTIONS ?? '').split(/\s+/), ...process.execArgv].filter((flag) => INSPECTS.test(flag));
  if (flags.length === 0) return undefined;
  return flags.some((flag) => /[=:]0$/.test(flag)) ? 0 : process.debugPort;
}

module.exports = { check, forLibrary, obey, refuseJoin, refuseUser };
