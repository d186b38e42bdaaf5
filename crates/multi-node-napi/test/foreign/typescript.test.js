'use strict';
// TypeScript as Node.js 22 runs it without flags. `make test-foreign` fetches that version.

const { test } = require('node:test');
const { servesExpress } = require('../typescript.js');

test("Express in TypeScript is served, by Node.js's own runner", (t) => servesExpress(t, ['--experimental-strip-types']));
