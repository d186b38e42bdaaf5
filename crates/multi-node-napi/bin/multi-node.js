#!/usr/bin/env node
'use strict';
// `multi-node run`, `status`, `reload` and the others are the command that is written in Rust; anything else is a module to serve.

const { isCommand, start } = require('../js/command.js');

const args = process.argv.slice(2);
if (isCommand(args[0])) start(args);
else require('../js/serve-module.js');
