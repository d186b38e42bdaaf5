//! TLS by Node.js, as JavaScript asks for it.

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::certificate::{CertificateAndKey, TlsMaterial};
use crate::service::Service;

#[napi]
impl Service {
    /// A server's certificate as it is now, if the library has read one.
    #[napi]
    pub fn certificate(&self, server: u32) -> Option<CertificateAndKey> {
        let pair = self.tls(server)?.pair;
        pair.map(Into::into)
    }

    /// The keys of a server's session tickets: the first seals, and all open.
    #[napi]
    pub fn ticket_keys(&self, server: u32) -> Vec<Buffer> {
        let keys = self.tls(server).unwrap_or_default().ticket_keys;
        keys.into_iter().map(|key| key[..].into()).collect()
    }

    fn tls(&self, server: u32) -> Option<TlsMaterial> {
        Some(self.servers.get(server as usize)?.tls.as_ref()?.borrow().clone())
    }

    /// Answers the event `check`: why the certificate cannot be used, if it cannot.
    #[napi]
    pub fn checked(&mut self, refusal: Option<String>) {
        if let Some(reply) = self.checks.take() {
            // An error means that it took too long.
            let _ = reply.send(refusal.map_or(Ok(()), Err));
        }
    }
}
