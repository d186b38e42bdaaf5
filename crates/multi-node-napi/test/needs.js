'use strict';
// What a test needs of the machine. Where it is missing the test is skipped, and listed with the reason; in CI the file fails.

const fs = require('node:fs');
const path = require('node:path');

/** Gives the option `skip` of a test that needs the condition. */
function needs(condition, why) {
  if (condition) return false;
  const line = `${path.basename(process.argv[1])}: ${why}`;
  if (process.env.SKIPPED) fs.appendFileSync(process.env.SKIPPED, `${line}\n`);
  if (process.env.CI === 'true') throw new Error(`in CI no test is skipped; ${line}`);
  return why;
}

module.exports = { needs };
