//! Who is at the two ends of a connection.

use serde::{Deserialize, Serialize};

use super::Addr;

/// The addresses of both ends of the connection, in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConnInfo {
    /// The client's address; with the PROXY protocol, the address from the proxy's header.
    pub peer: Addr,
    /// The address that the client connected to; with the PROXY protocol, at the proxy.
    pub local: Addr,
}

impl ConnInfo {
    /// Such an extension, for tests of services that read it.
    pub fn new(peer: Addr, local: Addr) -> ConnInfo {
        ConnInfo { peer, local }
    }
}
