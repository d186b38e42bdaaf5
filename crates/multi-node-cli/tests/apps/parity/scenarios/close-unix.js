'use strict';

const { existsSync } = require('node:fs');

module.exports = async ({ closed, freePath, listening, net }) => {
  const path = freePath();
  const server = await listening(net.createServer(), path);
  const before = existsSync(path);
  await closed(server);
  // The primary closes it some time later.
  for (let turn = 0; turn < 50 && existsSync(path); turn += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  return [before, existsSync(path)];
};
