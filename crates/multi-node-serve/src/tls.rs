//! The handshake of a connection with TLS, within its limits.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use multi_node_tls::rustls::{HandshakeKind, ServerConnection};
use multi_node_tls::{Failure, has_expired};
use tokio_rustls::TlsAcceptor;

use super::boxed::{BoxError, BoxFuture};
use super::crowd::Crowd;
use super::drain::{DrainSignal, aborted};
use super::lingering_close::lingering_close;
use super::stream::{Records, Stream};
use super::terminator::Terminator;

/// Shakes hands for one server.
pub(crate) struct Handshakes {
    terminator: Arc<Terminator>,
    /// Those under way. If there are too many, the one that began first ends.
    under_way: Arc<Crowd>,
}

impl Handshakes {
    pub(crate) fn new(terminator: Arc<Terminator>) -> Result<Handshakes, BoxError> {
        if terminator.config().is_none() {
            return Err(
                "the master of this program has no certificates for this server; restart the program as a whole".into(),
            );
        }
        let under_way = Crowd::new(terminator.max_handshakes());
        Ok(Handshakes { terminator, under_way })
    }

    /// Shakes hands on a new connection, of which `before` was read. `None`: it has ended.
    ///
    /// In a box, since every connection's task would be larger by it.
    pub(crate) fn secure(&self, stream: Stream, before: Bytes, drain: &DrainSignal) -> BoxFuture<Option<Stream>> {
        let (Some(config), membership) = (self.terminator.config(), self.under_way.join()) else {
            return Box::pin(std::future::ready(None));
        };
        let (terminator, drain) = (self.terminator.clone(), drain.clone());
        let timeout = terminator.handshake_timeout();
        Box::pin(async move {
            let (failure, left) = tokio::select! {
                biased;
                done = shake(TlsAcceptor::from(config), stream, before) => match done {
                    Ok(secured) => {
                        terminator.handshakes().succeeded(secured.handshake_kind());
                        return Some(secured);
                    }
                    Err(failed) => failed,
                },
                () = membership.over() => (Failure::Displaced, None),
                () = tokio::time::sleep(timeout) => (Failure::TimedOut, None),
                () = aborted(drain.clone()) => (Failure::Drained, None),
            };
            terminator.handshakes().failed(failure);
            if let Some(left) = left {
                // The client is to read the alert that says why. A newer handshake takes its place still.
                tokio::select! {
                    () = lingering_close(left, &drain) => {}
                    () = membership.over() => {}
                }
            }
            None
        })
    }
}

/// Shakes hands; if that fails, why, and what is left of the connection.
async fn shake(acceptor: TlsAcceptor, stream: Stream, before: Bytes) -> Result<Stream, (Failure, Option<Stream>)> {
    let Some((transport, open, local)) = stream.into_parts() else { return Err((Failure::Other, None)) };
    match acceptor.accept(Records::new(transport, before)).into_fallible().await {
        Ok(secured) if resumes_by_expired(secured.get_ref().1) => {
            Err((Failure::ClientCertificate, Some(Stream::secured(secured, open, local))))
        }
        Ok(secured) => Ok(Stream::secured(secured, open, local)),
        Err((error, records)) => {
            multi_node_sys::log::debug!(%error, "a handshake has failed");
            Err((Failure::of(&error), Some(Stream::new(records.into_transport().await, open, local))))
        }
    }
}

/// Whether a client has resumed a session that it began with a certificate that has expired since: rustls verifies that only in full
/// handshakes.
fn resumes_by_expired(connection: &ServerConnection) -> bool {
    let client = connection.peer_certificates().and_then(<[_]>::first);
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    resumed && client.is_some_and(|certificate| has_expired(certificate, SystemTime::now()))
}
