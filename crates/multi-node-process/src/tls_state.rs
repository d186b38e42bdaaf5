//! What processes need to serve by TLS, on its way from the master's files to its nodes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use multi_node_fleet::status::CertificateStatus;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

/// How long a reload waits for a look at the files.
const LOOK: Duration = Duration::from_secs(5);

/// Certificates with their private keys, and the keys of session tickets. They travel by control sockets and stay in memory: no file that
/// the library writes, no environment and no log has them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsState {
    /// For each server; `None` where it serves without TLS.
    pub servers: Vec<Option<ServerCertificates>>,
    /// The keys of session tickets: the current one, and those before it.
    pub ticket_keys: Vec<Bytes>,
    /// When the current one was made, on the clock that counts from the machine's start.
    pub keys_made_ms: u64,
}

/// The certificates of one server, in order of preference.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerCertificates {
    pub pairs: Vec<CertificateAndKey>,
    /// The authorities of clients, in DER.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_authorities: Vec<Bytes>,
    /// Keys of session tickets that several machines share. Without any, those of the program are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ticket_keys: Vec<Bytes>,
}

/// In DER.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAndKey {
    pub chain: Vec<Bytes>,
    pub key: Bytes,
}

impl fmt::Debug for TlsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsState").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.pairs.len())
    }
}

impl fmt::Debug for CertificateAndKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a certificate and its key")
    }
}

/// What is known of the certificates at one moment.
#[derive(Clone, Debug, Default)]
pub struct TlsView {
    /// What is in force; `None` where no server has TLS.
    pub state: Option<TlsState>,
    /// What is shown of it.
    pub shown: Vec<CertificateStatus>,
}

impl TlsView {
    /// What is wrong with the files, where something is: what was read before stays in force.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.shown.iter().filter_map(|certificate| certificate.error.as_deref())
    }
}

/// Where a master's loop gets the certificates, from the task that watches the files.
#[derive(Clone, Debug)]
pub struct TlsSource {
    pub view: watch::Receiver<TlsView>,
    looks: mpsc::Sender<oneshot::Sender<()>>,
}

/// The other end of a [`TlsSource`].
#[derive(Debug)]
pub struct TlsPublisher {
    pub view: watch::Sender<TlsView>,
    /// Who wants the files to be looked at now, and waits until that was done.
    pub looks: mpsc::Receiver<oneshot::Sender<()>>,
}

impl TlsSource {
    /// A source that shows this first, and its other end.
    pub fn new(view: TlsView) -> (TlsPublisher, TlsSource) {
        let (asks, looks) = mpsc::channel(1);
        let (sender, view) = watch::channel(view);
        (TlsPublisher { view: sender, looks }, TlsSource { view, looks: asks })
    }

    /// That of a program without TLS.
    pub fn none() -> TlsSource {
        TlsSource::new(TlsView::default()).1
    }

    /// Resolves when the files have been looked at, or cannot be.
    pub async fn look(&self) {
        let (done, looked) = oneshot::channel();
        let look = async {
            if self.looks.send(done).await.is_ok() {
                let _ = looked.await;
            }
        };
        if tokio::time::timeout(LOOK, look).await.is_err() {
            multi_node_sys::log::warn!("the files of the certificates could not be looked at within {LOOK:?}");
        }
    }

    /// Resolves when something has changed. Never where nothing can. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.view.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        let pair =
            CertificateAndKey { chain: vec![Bytes::from_static(b"chain")], key: Bytes::from_static(b"\x5e\x5e") };
        let state = TlsState {
            servers: vec![Some(ServerCertificates {
                pairs: vec![pair],
                ticket_keys: vec![Bytes::from_static(b"\x5e\x5e")],
                ..ServerCertificates::default()
            })],
            ticket_keys: vec![Bytes::from_static(b"\x5e\x5e")],
            keys_made_ms: 7,
        };
        let shown = format!("{state:?}");
        assert!(shown.contains("1 certificates") && !shown.contains("94") && !shown.contains("^"), "{shown}");
    }
}
