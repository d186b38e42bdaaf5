'use strict';
// What all stores of the package are made of.

const { EventEmitter } = require('node:events');

/** A store is made of what `listen` returned and options; either may be left out. `nodes` is null where `listen` is called later. */
function argumentsOf(nodes, options) {
  const isGiven = nodes instanceof EventEmitter;
  return { nodes: isGiven ? nodes : null, options: options ?? (isGiven ? {} : nodes) ?? {} };
}

module.exports = { argumentsOf };
