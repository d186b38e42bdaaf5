'use strict';

const { statSync } = require('node:fs');

module.exports = async ({ closed, freePath, listening, net }) => {
  const path = freePath();
  const server = await listening(net.createServer(), { path, readableAll: true, writableAll: true });
  const found = (statSync(path).mode & 0o777).toString(8);
  await closed(server);
  return found;
};
