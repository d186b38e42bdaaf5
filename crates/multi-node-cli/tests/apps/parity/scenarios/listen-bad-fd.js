'use strict';

module.exports = ({ net, outcome }) => outcome(net.createServer(), { fd: 9999 });
