'use strict';
// Errors have a `code` to act on and a message that says what to do.

const { getSystemErrorName } = require('node:util');

/** An error of this package: `ERR_MULTI_NODE_<code>`. */
function failure(code, message, Type = Error) {
  return Object.assign(new Type(message), { code: `ERR_MULTI_NODE_${code}` });
}

/** What the library says, as an error; what the system refused has the system's code, as errors of Node.js have. */
function fromLibrary({ code, message, errno, address, option }) {
  const error = Object.assign(new Error(inJavaScript(message)), { code });
  if (errno && code !== 'ERR_MULTI_NODE_PROGRAM') {
    Object.assign(error, { code: getSystemErrorName(-errno), errno: -errno, syscall: 'listen' });
  }
  if (address) Object.assign(error, placeOf(address));
  if (option) error.option = camelCase(option);
  return error;
}

/** Where an error says that it was to listen, by the fields that Node.js has for it. */
function placeOf(address) {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? [];
  return host === undefined ? { address: address.replace(/^unix:/, '') } : { address: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** An exception of the binding's constructor, whose message holds the fields, one a line. */
function fromException(exception) {
  const [code, errno, address, option, ...message] = exception.message.split('\n');
  if (message.length === 0) return exception;
  return fromLibrary({ code, errno: Number(errno), address, option, message: message.join('\n') });
}

function camelCase(name) {
  return name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
}

/** Options in messages, as JavaScript writes them. */
function inJavaScript(message) {
  return message
    .replace(/`Options::(\w+)(\([^)]*\))?`/g, (_, name) => `\`${camelCase(name)}\``)
    .replace('`insecure_bus`', '`insecureBus`')
    .replace(/^option `(\w+)`/, (_, name) => `option \`${camelCase(name)}\``);
}

module.exports = { camelCase, failure, fromLibrary, fromException };
