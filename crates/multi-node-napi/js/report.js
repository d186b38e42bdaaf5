'use strict';
// Reports of commands, as JavaScript has them.

const { camelCase } = require('./errors.js');

/** A report of the library: names in camel case, times in milliseconds. What is not known is not there. */
function fromReport(value) {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map(fromReport);
  if (typeof value !== 'object') return value;
  const known = Object.entries(value).filter(([, field]) => field !== null);
  return Object.fromEntries(known.map(([name, field]) => [camelCase(name.replace(/_ms$/, '')), fromReport(field)]));
}

module.exports = { fromReport };
