'use strict';

module.exports = async ({ codeOf, net }) => {
  try {
    net.createServer().listen(70_000);
    return 'nothing is thrown';
  } catch (error) {
    return codeOf(error);
  }
};
