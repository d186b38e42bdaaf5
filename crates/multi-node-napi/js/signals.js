'use strict';
// Signals belong to JavaScript in a Node.js process. Handlers of the program's own stay as they are.

const tty = require('node:tty');

/** A second signal sooner after the first, in milliseconds, is the same request: npm and `timeout` signal a process and its group. */
const SAME_REQUEST = 1000;

/** What SIGTERM or SIGINT asks for, by the time in milliseconds: 'shutDown', 'shutDownNow', or nothing new. Pure. */
function escalation() {
  let first;
  return (now) => {
    if (first === undefined) {
      first = now;
      return 'shutDown';
    }
    return now - first < SAME_REQUEST ? undefined : 'shutDownNow';
  };
}

/** SIGTERM and SIGINT shut the program down, another one a second later at once, as SIGQUIT does; SIGHUP reloads; SIGUSR2 upgrades. */
function handleInMaster({ shutDown, shutDownNow, reload, upgrade }) {
  const asksFor = escalation();
  const commands = { shutDown, shutDownNow };
  const end = () => commands[asksFor(performance.now())]?.();
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  process.on('SIGQUIT', shutDownNow);
  // Where standard input is a terminal, the signal says that it was closed.
  process.on('SIGHUP', () => (tty.isatty(0) ? end() : reload()));
  // Others use it too: for a program that has a handler of its own it is the program's.
  process.on('SIGUSR2', () => process.listenerCount('SIGUSR2') === 1 && upgrade());
}

/** SIGTERM and SIGINT make the node leave; SIGHUP is its master's alone to act on. */
function handleInNode({ leave }) {
  process.on('SIGTERM', leave);
  process.on('SIGINT', leave);
  process.on('SIGHUP', () => undefined);
  process.on('SIGUSR2', () => undefined);
}

module.exports = { escalation, handleInMaster, handleInNode };
