'use strict';

module.exports = async () => {
  const pad = 'x'.repeat(1024 * 1024);
  const send = (number) => new Promise((resolve) => process.send({ number, pad }, resolve));
  const errors = await Promise.all(Array.from({ length: 20 }, (_, number) => send(number)));
  return errors.filter(Boolean).length;
};
