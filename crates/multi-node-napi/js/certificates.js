'use strict';
// Certificates that the master has read: a server gets them in place of those it was made with, and again when they are replaced.

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
  'allowPartialTrustChain',
];

/** Lines of PEM have this number of characters. */
const WIDTH = /.{1,64}/g;

/** Connections are not touched; new ones get this certificate. */
function secure(server, { chain, key, keyLabel }) {
  const kept = Object.fromEntries(KEPT.filter((name) => server[name] !== undefined).map((name) => [name, server[name]]));
  const cert = chain.map((certificate) => pem('CERTIFICATE', certificate)).join('');
  try {
    server.setSecureContext({ ...kept, cert, key: pem(keyLabel, key) });
  } catch (error) {
    process.emitWarning(`the certificate cannot be used, so the one before stays in force: ${error.message}`, { code: 'MULTI_NODE_CERTIFICATE' });
  }
}

function pem(label, bytes) {
  return `-----BEGIN ${label}-----\n${bytes.toString('base64').match(WIDTH).join('\n')}\n-----END ${label}-----\n`;
}

module.exports = { secure };
