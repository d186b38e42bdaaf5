//! Secret bytes that the processes of one program share.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Random bytes that the master makes when the program starts. Every node has the same, over reloads and upgrades. They
/// travel by control sockets and stay in memory: no file, no environment and no log has them.
///
/// Derive one key from it for each purpose, such as the keys of TLS session tickets, and never use the bytes themselves.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SharedSecret(Bytes);

impl SharedSecret {
    /// How many bytes a master makes.
    #[doc(hidden)]
    pub const LENGTH: usize = 64;

    /// `bytes` are random.
    #[doc(hidden)]
    pub fn new(bytes: [u8; SharedSecret::LENGTH]) -> SharedSecret {
        SharedSecret(Bytes::copy_from_slice(&bytes))
    }

    /// The bytes. This release makes 64 of them; after an upgrade they are as many as the first master has made.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedSecret(secret)")
    }
}

/// Bytes that may hold a secret: `Debug` shows how many they are.
#[derive(Clone, Copy)]
pub struct Hidden<'a>(pub &'a [u8]);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let secret = SharedSecret::new([0x5e; SharedSecret::LENGTH]);
        assert_eq!(format!("{secret:?} {secret:#?}"), "SharedSecret(secret) SharedSecret(secret)");
    }
}
