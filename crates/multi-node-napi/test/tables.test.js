'use strict';
// The options that the code takes, `index.d.ts`, the README's table and that of docs/library.md say the same: names and defaults.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const options = require('../js/options.js');

const read = (...at) => fs.readFileSync(path.join(__dirname, '..', ...at), 'utf8');

/** What the library has and JavaScript does not: its own event loop, and what programs of other languages need. */
const OF_THE_LIBRARY = ['buckets', 'controlPath', 'gatewayProgram', 'handOffWhenBusy', 'heartbeat', 'metricsSource', 'rolling', 'settle', 'startedAs'];

/** What JavaScript has alone. */
const OF_JAVASCRIPT = ['certificates', 'maxBuffered', 'restartChildren', 'slowPeerTimeout'];

/** The names that the code takes, as its error for another name lists them. */
function taken() {
  try {
    options.check({ nonsense: 1 });
  } catch (error) {
    return /there are (.*)$/.exec(error.message)[1].split(', ').sort();
  }
  throw new Error('an option that is none was taken');
}

/** The names of `interface Options`, each with what stands above it. */
function declared() {
  const body = /export interface Options \{\n([^]*?)\n\}\n/.exec(read('index.d.ts'))[1];
  const members = body.matchAll(/\/\*\*([^]*?)\*\/\s*(\w+)\??[:(]/g);
  return new Map([...members].map(([, text, name]) => [name, text.replace(/\s*\n\s*\*\s*/g, ' ').trim()]));
}

/** The rows of the table of options: each name with its default. */
function table(text) {
  const lines = text.split('\n## Options\n')[1].split('\n');
  const from = lines.findIndex((line) => line.startsWith('|---')) + 1;
  const rows = lines.slice(from, lines.findIndex((line, at) => at >= from && !line.startsWith('|')));
  const cells = rows.map((row) => row.replace(/^\|\s*|\s*\|$/g, '').split(/\s*\|\s*/));
  return new Map(cells.flatMap(([names, value]) => {
    const all = names.split(', ').map((name) => name.replaceAll('`', ''));
    const values = value.split(/, (?![^[{]*[\]}])/);
    return all.map((name, at) => [name, values.length === all.length ? values[at] : value]);
  }));
}

const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/** A default as it can be compared. */
function plain(value) {
  const text = value.split(';')[0].replaceAll('`', '').trim();
  return /^(none|no limit|off|)$/.test(text) ? 'off' : text;
}

test('the code, the types and the table have the same names, and the library those that are its own too', () => {
  const names = taken();
  assert.deepEqual([...declared().keys()].sort(), names, 'index.d.ts');
  assert.deepEqual([...table(read('README.md')).keys()].sort(), names, 'README.md');
  const library = [...table(read('../../docs/library.md')).keys()].map(camel);
  assert.deepEqual([...library, ...OF_JAVASCRIPT].sort(), [...names, ...OF_THE_LIBRARY].sort(), 'the library');
});

test('the table has the library\'s defaults', () => {
  const own = table(read('README.md'));
  // In JavaScript's own words.
  const words = {
    addresses: 'off', args: 'as this process', backoff: '[100, 30000]', bind: 'off', certificates: 'off', crashLoop: '{ deaths: 5, within: 60000 }', env: 'as this process',
    aggregateGauge: 'off', group: 'as this process', nodes: 'the cores', program: 'as this process', slotArgs: 'as this process', umask: 'as this process',
    user: 'as this process',
  };
  for (const [name, value] of table(read('../../docs/library.md'))) {
    const inJs = own.get(camel(name));
    if (inJs === undefined) continue;
    assert.equal(plain(inJs), words[camel(name)] ?? plain(value), name);
  }
});

test('the types have the table\'s defaults', () => {
  const own = table(read('README.md'));
  for (const [name, text] of declared()) {
    const said = /Default(?: for each)?:? (.*?)(?:\.(?=\s|$)|$)/.exec(text)?.[1];
    if (said === undefined) continue;
    const value = plain(own.get(name));
    const words = {
      crashLoop: '5 deaths within 60 s', aggregateGauge: 'sum', group: 'the user\'s', nodes: 'one for each core; 0 serves in this process', umask: 'this process\'s',
      user: 'this process\'s',
    };
    assert.equal(name in words ? said.replaceAll('`', '') : plain(said), words[name] ?? value, name);
  }
});
