//! What is known of a connection with TLS.

use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use crate::{ClientIdentity, TlsVersion};

/// What is known of a connection by its handshake, in the extensions of every request that came over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version of TLS.
    pub version: TlsVersion,
    /// The protocol that both sides have agreed on (ALPN): `h2`, `http/1.1`.
    pub protocol: Option<Arc<str>>,
    /// The host that the client has named (SNI). It need not be the one in the request.
    pub server_name: Option<Arc<str>>,
    /// Whether the client has resumed a session. Its identity is the one of that session's beginning.
    pub resumed: bool,
    /// Who the client is. `None` where it has shown no certificate, or was asked for none.
    pub client: Option<Arc<ClientIdentity>>,
}

impl TlsInfo {
    /// Such an extension without anything that is optional, for tests of services that read it.
    pub fn new(version: TlsVersion) -> TlsInfo {
        TlsInfo { version, protocol: None, server_name: None, resumed: false, client: None }
    }

    /// Of a connection whose handshake is done.
    #[doc(hidden)]
    pub fn of(connection: &ServerConnection) -> TlsInfo {
        let protocol = connection.alpn_protocol().and_then(|protocol| std::str::from_utf8(protocol).ok());
        let client = connection.peer_certificates().and_then(<[_]>::first);
        TlsInfo {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
                _ => TlsVersion::V1_3,
            },
            protocol: protocol.map(Arc::from),
            server_name: connection.server_name().map(Arc::from),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client: client.map(|certificate| Arc::new(ClientIdentity::of(certificate))),
        }
    }
}
