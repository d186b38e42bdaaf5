//! Which certificates a server has, and what it demands of handshakes.

use std::path::PathBuf;
use std::time::Duration;

/// How many handshakes may be under way in a process where nothing else is set.
const HANDSHAKES: usize = 1024;

/// How long a handshake may take where nothing else is set.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, with forward secrecy and authenticated encryption only.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The certificates of a server, as files, and how it shakes hands.
///
/// The master reads and checks the files, as the user that it runs as, so nodes need no right to read them. It reads them again in each
/// reload, and soon after they have changed. Connections are not touched by that. Files that do not pass the check leave the
/// certificates in force.
///
/// ```
/// # use std::time::Duration;
/// # use multi_node_tls::{Certificates, TlsVersion};
/// let certificates = Certificates::files("/etc/tls/example.org/fullchain.pem", "/etc/tls/example.org/privkey.pem")
///     .and_files("/etc/tls/example.net/fullchain.pem", "/etc/tls/example.net/privkey.pem")
///     .min_version(TlsVersion::V1_3)
///     .handshake_timeout(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    pub(crate) pairs: Vec<PairFiles>,
    pub(crate) min_version: TlsVersion,
    pub(crate) handshake_timeout: Duration,
    pub(crate) max_handshakes: usize,
}

/// The two files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// The certificate, and behind it those that lead to the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// One certificate. `cert` has it in PEM, and behind it those that lead to the authority (certbot's `fullchain.pem`). `key` has
    /// its private key in PEM, not encrypted.
    pub fn files(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Certificates {
        Certificates {
            pairs: vec![PairFiles { cert: cert.into(), key: key.into() }],
            min_version: TlsVersion::V1_2,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            max_handshakes: HANDSHAKES,
        }
    }

    /// A further certificate, for the names in it. The client names a host (SNI), and gets the first certificate that is for that
    /// host. Clients that name none, or one that no certificate is for, get the first of all.
    pub fn and_files(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Certificates {
        self.pairs.push(PairFiles { cert: cert.into(), key: key.into() });
        self
    }

    /// The lowest version of TLS that clients may speak; 1.2 by default.
    pub fn min_version(mut self, version: TlsVersion) -> Certificates {
        self.min_version = version;
        self
    }

    /// How long a handshake may take, from the connection's beginning on; 10 s by default. The connection is closed then.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Certificates {
        self.handshake_timeout = timeout;
        self
    }

    /// How many handshakes may be under way in each process; 1024 by default. A further one is begun at once, and the one that began
    /// first ends. So clients that do not go on keep no others out. 0 counts as 1.
    pub fn max_handshakes(mut self, count: usize) -> Certificates {
        self.max_handshakes = count.max(1);
        self
    }

    /// The files, in order of preference.
    #[doc(hidden)]
    pub fn pairs(&self) -> &[PairFiles] {
        &self.pairs
    }
}
