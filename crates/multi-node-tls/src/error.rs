//! Why certificates cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use crate::date;

/// Why a server's certificates cannot be used: which file, why, and what can be done about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {}; the master reads it, so its user needs the right to", .file.display(), lower(.source))]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is longer than certificates are.
    #[error("{} has more than {limit} bytes, which is no certificate or key; check the path", .file.display())]
    TooLong {
        /// The file.
        file: PathBuf,
        /// How many bytes are allowed.
        limit: u64,
    },
    /// There is no certificate in a file.
    #[error("{} has no certificate; expected PEM with `BEGIN CERTIFICATE`", .file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// There is no private key in a file.
    #[error("{} has no private key; expected PEM with `BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or `BEGIN EC PRIVATE KEY`", .file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// A private key needs a password.
    #[error("the key in {} is encrypted; decrypt it: `openssl pkey -in FILE -out NEW_FILE`", .file.display())]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// A certificate or key cannot be understood, or is of a kind that is not supported.
    #[error("{} cannot be used: {cause}; make it anew (RSA of 2048 bits or more, ECDSA P-256 or P-384, Ed25519)", .file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The private key is not that of the certificate.
    #[error("the key in {} does not belong to the first certificate in {}; the server's own certificate has to come first", .key.display(), .cert.display())]
    Mismatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate's time is over.
    #[error("the certificate in {} has expired at {}; renew it", .file.display(), date(*.not_after))]
    Expired {
        /// The file.
        file: PathBuf,
        /// Until when it was valid: seconds of Unix time.
        not_after: i64,
    },
    /// A certificate's time has not come.
    #[error("the certificate in {} is valid from {} on; check this machine's clock", .file.display(), date(*.not_before))]
    NotYetValid {
        /// The file.
        file: PathBuf,
        /// From when on it is valid: seconds of Unix time.
        not_before: i64,
    },
    /// A file with keys of session tickets has none.
    #[error("{} has no key of session tickets; add one: `openssl rand -hex 32 >> FILE`", .file.display())]
    NoTicketKeys {
        /// The file.
        file: PathBuf,
    },
    /// A line is no key of session tickets.
    #[error("line {line} of {} is no key of session tickets; expected 64 hexadecimal digits, other ones in each line, not all 0, at most 16 lines", .file.display())]
    TicketKey {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// Others may read a file with keys of session tickets, or its group may write it.
    #[error("{} has keys of session tickets and mode {mode:03o}, by which others have access or its group may write it; `chmod 600 FILE`", .file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// The permissions that it has.
        mode: u32,
    },
    /// The code that shakes hands for a server cannot use what this library could.
    #[error("the server cannot use the certificate in {} and its key: {cause}; `openssl x509 -in FILE -text` shows what it is", .file.display())]
    Refused {
        /// The file of the certificate.
        file: PathBuf,
        /// What that code says.
        cause: String,
    },
    /// All certificates of a server together are too large.
    #[error("the certificates of a server have {bytes} bytes together, more than {limit}; use fewer, or shorter chains (first file: {})", .file.display())]
    TooMany {
        /// The file of the first certificate.
        file: PathBuf,
        /// How many bytes they have.
        bytes: usize,
        /// How many bytes are allowed.
        limit: usize,
    },
}

impl CertificateError {
    /// The file that has to be looked at.
    pub fn file(&self) -> &Path {
        use CertificateError::{
            EncryptedKey, Expired, Exposed, Mismatch, NoCertificate, NoKey, NoTicketKeys, NotYetValid, Read, Refused,
            TicketKey, TooLong, TooMany, Unusable,
        };
        match self {
            Read { file, .. } | TooLong { file, .. } | NoCertificate { file } | NoKey { file } => file,
            EncryptedKey { file } | Unusable { file, .. } | Refused { file, .. } | Expired { file, .. } => file,
            NotYetValid { file, .. } | TooMany { file, .. } => file,
            NoTicketKeys { file } | TicketKey { file, .. } | Exposed { file, .. } => file,
            Mismatch { key, .. } => key,
        }
    }
}

/// The system's words without Rust's "(os error N)", as the rest of a sentence.
fn lower(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
