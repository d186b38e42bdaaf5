'use strict';
// Certificates that the master has read: a server gets them in place of those it was made with, and again when they are replaced. OpenSSL
// checks them first, by what the server was made with.

const { binding } = require('./binary.js');
const { failure, fromException } = require('./errors.js');

/** What a server has remembered of how it was made, and must not forget. */
const KEPT = [
  'ca',
  'crl',
  'ciphers',
  'dhparam',
  'ecdhCurve',
  'sigalgs',
  'minVersion',
  'maxVersion',
  'secureProtocol',
  'secureOptions',
  'honorCipherOrder',
  'sessionIdContext',
  'sessionTimeout',
  'ticketKeys',
  'allowPartialTrustChain',
];

/** Lines of PEM have this number of characters. */
const WIDTH = /.{1,64}/g;

/** Connections are not touched; new ones get this certificate. Throws if OpenSSL refuses it. */
function secure(server, certificate) {
  server.setSecureContext(settings(server, certificate));
}

/** Why a server cannot use a certificate; `undefined`: it can. */
function refusal(server, certificate) {
  try {
    require('node:tls').createSecureContext(settings(server, certificate));
    return undefined;
  } catch (error) {
    return error.message;
  }
}

/** Refuses files that a server cannot use, before anything has begun. */
function checkFiles(servers, files) {
  const certificate = readFiles(files);
  for (const server of servers) {
    const why = refusal(server, certificate);
    if (why !== undefined) throw failure('CERTIFICATE', `the server cannot use the certificate in ${files.cert} and its key: ${why}`);
  }
}

function readFiles(files) {
  try {
    return binding.readCertificate(files);
  } catch (exception) {
    throw fromException(exception);
  }
}

function settings(server, { chain, key, keyLabel }) {
  const kept = Object.fromEntries(KEPT.filter((name) => server[name] !== undefined).map((name) => [name, server[name]]));
  return { ...kept, cert: chain.map((certificate) => pem('CERTIFICATE', certificate)).join(''), key: pem(keyLabel, key) };
}

function pem(label, bytes) {
  return `-----BEGIN ${label}-----\n${bytes.toString('base64').match(WIDTH).join('\n')}\n-----END ${label}-----\n`;
}

module.exports = { checkFiles, refusal, secure };
