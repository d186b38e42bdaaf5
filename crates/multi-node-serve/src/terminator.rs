//! What the handshakes of a server go by. It stands apart, since servers name it and handshakes name servers.

#[cfg(feature = "tls")]
pub use multi_node_tls::Terminator;
#[cfg(feature = "tls")]
pub(crate) use multi_node_tls::TlsInfo;

/// There is none in builds without the feature `tls`.
#[cfg(not(feature = "tls"))]
#[derive(Debug)]
pub enum Terminator {}

/// There is none in builds without the feature `tls`.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug)]
pub(crate) enum TlsInfo {}
