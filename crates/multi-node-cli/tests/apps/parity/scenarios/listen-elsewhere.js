'use strict';

module.exports = async ({ codeOf, net, once }) => {
  const [error] = await once(net.createServer().listen(4711, '192.0.2.1'), 'error');
  return [codeOf(error), error.address, error.port];
};
