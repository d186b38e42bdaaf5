'use strict';

const fs = require('node:fs');

module.exports = async ({ freePort, net, outcome }) => {
  const file = `${process.env.RESULTS}.exclusive`;
  try {
    fs.writeFileSync(file, '', { flag: 'wx' });
    fs.appendFileSync(file, `${await freePort()}\n`);
  } catch {
    // The other has written it.
  }
  let port = NaN;
  while (Number.isNaN(port)) {
    port = Number.parseInt(fs.readFileSync(file, 'utf8'), 10);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return outcome(net.createServer(), { port, exclusive: true });
};
