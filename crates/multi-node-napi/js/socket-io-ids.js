'use strict';
// The ids of new clients. With affinity by `sid` the process that makes an id answers all requests with it.

/** How many ids are tried. Of 256 nodes each owns one id in 256. */
const TRIES = 4096;

/** Lets an engine of socket.io make ids that this process owns. */
function ownIds(engine, nodes) {
  const { generateId } = engine;
  engine.generateId = async function (request) {
    for (let left = TRIES; left > 0; left -= 1) {
      const id = await generateId.call(engine, request);
      if (left === 1 || typeof id !== 'string' || nodes.owns(id) !== false) return id;
    }
  };
}

module.exports = { ownIds };
