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

/// Whether clients need a certificate ([`Certificates::client_authority`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// The handshake fails without one.
    Required,
    /// Clients without one are served too. The service sees by [`TlsInfo::client`](crate::TlsInfo::client) who has shown one.
    Optional,
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
    pub(crate) client_authority: Option<(PathBuf, ClientCertificates)>,
    pub(crate) ticket_keys: Option<PathBuf>,
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
            client_authority: None,
            ticket_keys: None,
        }
    }

    /// None: the server has one of its own, and gets keys of tickets.
    #[doc(hidden)]
    pub fn none() -> Certificates {
        Certificates { pairs: Vec::new(), ..Certificates::files("", "") }
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

    /// Asks clients for certificates. `file` has those of the authorities in PEM to which they have to lead. A certificate that leads to none
    /// of them, has expired or is not for clients fails the handshake; one that was revoked does not.
    ///
    /// Each request has the client's identity in its extensions, as [`TlsInfo::client`](crate::TlsInfo::client). After a change of the file
    /// no client resumes a session that was begun before. Open connections stay.
    ///
    /// ```
    /// # use multi_node_tls::{Certificates, ClientCertificates};
    /// let certificates = Certificates::files("fullchain.pem", "privkey.pem")
    ///     .client_authority("clients.pem", ClientCertificates::Required);
    /// ```
    pub fn client_authority(mut self, file: impl Into<PathBuf>, certificates: ClientCertificates) -> Certificates {
        self.client_authority = Some((file.into(), certificates));
        self
    }

    /// A file with the keys of session tickets, so that clients resume their sessions at every machine that has the same file. Without it
    /// the master makes and renews keys for the program alone.
    ///
    /// Each line has a key: 64 hexadecimal digits (`openssl rand -hex 32`). The first seals, and all open; at most 16. Empty lines and those
    /// that begin with `#` count for nothing. Other users must have no access to the file, and the group must not write it. Renew the keys by
    /// writing the file anew, every day or so: who has them can read what clients of TLS 1.2 have said in resumed sessions.
    pub fn ticket_keys(mut self, file: impl Into<PathBuf>) -> Certificates {
        self.ticket_keys = Some(file.into());
        self
    }

    /// All files that are read.
    #[doc(hidden)]
    pub fn all_files(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.pairs.iter().flat_map(|files| [&files.cert, &files.key]);
        pairs.chain(self.client_authority.iter().map(|(file, _)| file)).chain(&self.ticket_keys)
    }

    /// The files, in order of preference.
    #[doc(hidden)]
    pub fn pairs(&self) -> &[PairFiles] {
        &self.pairs
    }
}
