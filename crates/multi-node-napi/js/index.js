'use strict';

const { frameStream, FrameStream } = require('./frames.js');
const { listen } = require('./listen.js');

module.exports = { listen, frameStream, FrameStream };
