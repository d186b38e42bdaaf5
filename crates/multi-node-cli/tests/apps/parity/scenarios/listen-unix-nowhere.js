'use strict';

module.exports = ({ net, outcome }) => outcome(net.createServer(), '/nowhere/at/all');
