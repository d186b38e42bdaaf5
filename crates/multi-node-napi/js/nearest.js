'use strict';
// The name that a user who mistyped one may have meant.

/** The name that takes the fewest changes to get, if those are few; else null. */
function nearest(typed, names) {
  const few = Math.max(1, Math.floor(typed.length / 3));
  const ranked = names.map((name) => ({ name, changes: distance(plain(typed), plain(name)) }));
  const [best] = ranked.sort((one, other) => one.changes - other.changes);
  return best !== undefined && best.changes <= few ? best.name : null;
}

/** `max_nodes`, `max-nodes` and `maxNodes` are one name. */
function plain(name) {
  return name.toLowerCase().replace(/[_-]/g, '');
}

/** How many letters have to be added, left out, changed, or exchanged with the next. */
function distance(from, to) {
  const rows = [Array.from({ length: to.length + 1 }, (_, index) => index)];
  for (let index = 0; index < from.length; index += 1) {
    const row = [index + 1];
    for (let at = 0; at < to.length; at += 1) {
      const changed = rows[index][at] + (from[index] === to[at] ? 0 : 1);
      const exchanges = index > 0 && at > 0 && from[index] === to[at - 1] && from[index - 1] === to[at];
      const exchanged = exchanges ? rows[index - 1][at - 1] + 1 : Infinity;
      row.push(Math.min(rows[index][at + 1] + 1, row[at] + 1, changed, exchanged));
    }
    rows.push(row);
  }
  return rows[from.length][to.length];
}

module.exports = { nearest };
