'use strict';

const fs = require('node:fs');

module.exports = async ({ hello, http, listening }) => {
  const server = await listening(http.createServer(hello), 0);
  const file = `${process.env.RESULTS}.ports`;
  fs.appendFileSync(file, `${server.address().port}\n`);
  const ports = () => fs.readFileSync(file, 'utf8').split('\n').filter(Boolean);
  while (ports().length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  return new Set(ports()).size;
};
