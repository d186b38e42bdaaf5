'use strict';

const { listen } = require('./listen.js');

module.exports = {
  listen,
  get frameStream() {
    return require('./frames.js').frameStream;
  },
  get FrameStream() {
    return require('./frames.js').FrameStream;
  },
};
