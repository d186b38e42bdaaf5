//! How the handshakes of a server have ended.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustls::{Error, HandshakeKind};

/// Why a handshake has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It took longer than `handshake_timeout`.
    TimedOut,
    /// A newer one took its place, since `max_handshakes` were under way.
    Displaced,
    /// The process had no time left for it: it drained, or shut down.
    Drained,
    /// The client has closed the connection, or it was lost. Checks that only connect count here.
    Closed,
    /// What the client has sent is no TLS, or breaks its rules.
    Malformed,
    /// Client and server have no version, cipher or protocol in common.
    Incompatible,
    /// The client has sent no certificate where one is required, or one that cannot be verified.
    ClientCertificate,
    /// The client has refused the handshake, such as for the server's certificate.
    RefusedByClient,
    /// Anything else.
    Other,
}

impl Failure {
    /// All of them.
    const ALL: [Failure; 9] = [
        Failure::TimedOut,
        Failure::Displaced,
        Failure::Drained,
        Failure::Closed,
        Failure::Malformed,
        Failure::Incompatible,
        Failure::ClientCertificate,
        Failure::RefusedByClient,
        Failure::Other,
    ];

    /// The same for programs, as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::TimedOut => "timed_out",
            Failure::Displaced => "displaced",
            Failure::Drained => "drained",
            Failure::Closed => "closed",
            Failure::Malformed => "malformed",
            Failure::Incompatible => "incompatible",
            Failure::ClientCertificate => "client_certificate",
            Failure::RefusedByClient => "refused_by_client",
            Failure::Other => "other",
        }
    }

    /// Why this error has ended a handshake.
    pub fn of(error: &io::Error) -> Failure {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        inner.map_or(Failure::Closed, Failure::of_protocol)
    }

    fn of_protocol(error: &Error) -> Failure {
        match error {
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_)
            | Error::PeerSentOversizedRecord
            | Error::DecryptError => Failure::Malformed,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Failure::Incompatible,
            Error::NoCertificatesPresented
            | Error::UnsupportedNameType
            | Error::InvalidCertificate(_)
            | Error::InvalidCertRevocationList(_) => Failure::ClientCertificate,
            Error::AlertReceived(_) => Failure::RefusedByClient,
            _ => Failure::Other,
        }
    }
}

/// How many handshakes have ended in which way.
#[derive(Debug, Default)]
pub struct HandshakeCounts {
    full: AtomicU64,
    resumed: AtomicU64,
    failed: [AtomicU64; Failure::ALL.len()],
}

impl HandshakeCounts {
    /// One has succeeded.
    pub fn succeeded(&self, kind: Option<HandshakeKind>) {
        let count = if kind == Some(HandshakeKind::Resumed) { &self.resumed } else { &self.full };
        count.fetch_add(1, Relaxed);
    }

    /// One has failed.
    pub fn failed(&self, failure: Failure) {
        self.failed[failure as usize].fetch_add(1, Relaxed);
    }

    /// Those that have succeeded: by a word for the kind of handshake.
    pub fn successes(&self) -> [(&'static str, u64); 2] {
        [("full", self.full.load(Relaxed)), ("resumed", self.resumed.load(Relaxed))]
    }

    /// Those that have failed, by reason.
    pub fn failures(&self) -> impl Iterator<Item = (Failure, u64)> {
        Failure::ALL.into_iter().zip(self.failed.iter().map(|count| count.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, InvalidMessage};

    use super::*;

    #[test]
    fn each_reason_counts_for_itself() {
        let counts = HandshakeCounts::default();
        for (times, failure) in Failure::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| counts.failed(failure));
        }
        let found: Vec<_> = counts.failures().map(|(failure, count)| (failure.as_str(), count)).collect();
        let expected = Failure::ALL.iter().enumerate().map(|(times, failure)| (failure.as_str(), times as u64));
        assert_eq!(found, expected.collect::<Vec<_>>());
        counts.succeeded(Some(HandshakeKind::Full));
        counts.succeeded(Some(HandshakeKind::Resumed));
        counts.succeeded(Some(HandshakeKind::FullWithHelloRetryRequest));
        assert_eq!(counts.successes(), [("full", 2), ("resumed", 1)]);
    }

    #[test]
    fn errors_have_their_reasons() {
        let of = |error: Error| Failure::of(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(of(Error::InvalidMessage(InvalidMessage::InvalidContentType)), Failure::Malformed);
        assert_eq!(of(Error::NoApplicationProtocol), Failure::Incompatible);
        assert_eq!(of(Error::NoCertificatesPresented), Failure::ClientCertificate);
        assert_eq!(of(Error::InvalidCertificate(CertificateError::Expired)), Failure::ClientCertificate);
        assert_eq!(of(Error::AlertReceived(AlertDescription::UnknownCA)), Failure::RefusedByClient);
        assert_eq!(of(Error::General("broken".to_owned())), Failure::Other);
        assert_eq!(Failure::of(&io::ErrorKind::UnexpectedEof.into()), Failure::Closed);
    }
}
