'use strict';

module.exports = () => new Promise((resolve) => {
  const returned = process.send({ any: 'message' }, (error) => resolve([returned, error]));
});
