'use strict';

module.exports = async ({ closed, codeOf, listening, net }) => {
  const server = await listening(net.createServer(), 0);
  let found = 'nothing is thrown';
  try {
    server.listen(0);
  } catch (error) {
    found = codeOf(error);
  }
  await closed(server);
  return found;
};
