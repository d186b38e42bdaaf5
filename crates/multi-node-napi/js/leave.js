'use strict';
// The end of a process that has nothing left to do.

/** Milliseconds that writes may take. A master is less patient with a node whose drain has used up its time. */
const LIMIT = 5_000;
const EVERY = 10;

/** What Node.js has under way when something is being written: to a file, a pipe or a socket. */
const WRITES = /^FSReq|WriteWrap$|^ShutdownWrap$|^FileHandleCloseReq$/;

/**
 * Ends the process when what was written has left it, such as log lines in a pipe, whatever else it may still wait for: a connection to
 * a database would keep it for ever.
 */
function leave() {
  const end = Date.now() + LIMIT;
  const look = () => {
    if (process.getActiveResourcesInfo().some((name) => WRITES.test(name)) && Date.now() < end) setTimeout(look, EVERY).unref();
    else process.exit();
  };
  setImmediate(look);
}

module.exports = { leave };
