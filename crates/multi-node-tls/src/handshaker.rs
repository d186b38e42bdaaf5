//! Handshakes by other code than this library's.

use crate::Pair;
use crate::tickets::Key;

/// Other code that shakes hands for a server, such as OpenSSL in Node.js.
pub trait Handshaker: Send + Sync {
    /// Whether it can use a pair; if not, why. Called in the process that reads the files, on a thread that may wait, before the pair is
    /// given to any process.
    ///
    /// # Errors
    /// Why the pair cannot be used.
    fn check(&self, pair: &Pair) -> Result<(), String>;

    /// What handshakes go by from now on, in each process and on any thread. `pair` is `None` where the server has a certificate of its own.
    /// Of the keys of tickets the first seals, and all open.
    fn take(&self, pair: Option<&Pair>, ticket_keys: &[Key]);
}
