'use strict';
// The programs of the README, as they stand there but for the port.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const README = fs.readFileSync(path.join(__dirname, '../README.md'), 'utf8');
const BLOCK = /^```(?:js|ts)\n(.*?)^```$/gms;

/** The one program that has this text in it, for the port that a test has. */
function fromReadme(text) {
  const found = [...README.matchAll(BLOCK)].map(([, source]) => source).filter((source) => source.includes(text));
  assert.equal(found.length, 1, `programs of the README with ${JSON.stringify(text)}`);
  return found[0].replaceAll('8080', 'PORT');
}

module.exports = { fromReadme };
