//! What the library reads for the TLS of Node.js' servers.

use std::sync::mpsc::SyncSender;

use multi_node::tls::{Certificates, Pair, TicketKey};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::failure::Failure;

/// The files of the certificate of all servers with TLS.
#[napi(object)]
pub struct CertificateFiles {
    pub cert: String,
    pub key: String,
    pub ticket_keys: Option<String>,
}

/// A certificate in DER: those that lead to the authority behind it, its private key, and the name of the key's form in PEM.
#[napi(object, object_from_js = false)]
pub struct CertificateAndKey {
    pub chain: Vec<Buffer>,
    pub key: Buffer,
    pub key_label: &'static str,
}

/// Reads and checks a certificate as the library does before it begins. Keys of tickets are its own affair.
///
/// # Errors
/// A failure as JSON, in the error's message.
#[napi]
pub fn read_certificate(files: CertificateFiles) -> napi::Result<Option<CertificateAndKey>> {
    let CertificateFiles { cert, key, ticket_keys: _ } = files;
    let read = multi_node::tls::read(&Certificates::files(cert, key));
    read.map(|pair| pair.map(Into::into)).map_err(|error| Failure::from(&error).into_error())
}

/// What the library reads for a server. Without files its own certificate stays, and it gets keys of tickets.
pub(crate) fn certificates(files: Option<&CertificateFiles>) -> Certificates {
    let Some(CertificateFiles { cert, key, ticket_keys }) = files else { return Certificates::none() };
    let certificates = Certificates::files(cert, key);
    match ticket_keys {
        Some(file) => certificates.ticket_keys(file),
        None => certificates,
    }
}

/// What handshakes of a server go by.
#[derive(Clone, Default)]
pub(crate) struct TlsMaterial {
    pub(crate) pair: Option<Pair>,
    pub(crate) ticket_keys: Vec<TicketKey>,
}

/// Where the answer to a check goes: nothing, or why the certificate cannot be used.
pub(crate) type CheckReply = SyncSender<Result<(), String>>;

impl From<Pair> for CertificateAndKey {
    fn from(pair: Pair) -> CertificateAndKey {
        let key_label = pair.key_label();
        let chain = pair.chain.into_iter().map(Buffer::from).collect();
        CertificateAndKey { chain, key: pair.key.into(), key_label }
    }
}
