//! What is known of a connection with TLS.

use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use crate::{ClientIdentity, TlsVersion};

/// What is known of a connection by its handshake, in the extensions of every request that came over TLS. A clone shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo(Arc<Known>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    version: TlsVersion,
    protocol: Option<String>,
    server_name: Option<String>,
    resumed: bool,
    client: Option<ClientIdentity>,
}

impl TlsInfo {
    /// Such an extension without anything that is optional, for tests of services that read it.
    pub fn new(version: TlsVersion) -> TlsInfo {
        TlsInfo(Arc::new(Known { version, protocol: None, server_name: None, resumed: false, client: None }))
    }

    /// The same with a client that has shown a certificate.
    pub fn with_client(mut self, client: ClientIdentity) -> TlsInfo {
        Arc::make_mut(&mut self.0).client = Some(client);
        self
    }

    /// Of a connection whose handshake is done.
    #[doc(hidden)]
    pub fn of(connection: &ServerConnection) -> TlsInfo {
        let protocol = connection.alpn_protocol().and_then(|protocol| std::str::from_utf8(protocol).ok());
        let client = connection.peer_certificates().and_then(<[_]>::first);
        TlsInfo(Arc::new(Known {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
                _ => TlsVersion::V1_3,
            },
            protocol: protocol.map(str::to_owned),
            server_name: connection.server_name().map(str::to_owned),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client: client.map(|certificate| ClientIdentity::of(certificate)),
        }))
    }

    /// The version of TLS.
    pub fn version(&self) -> TlsVersion {
        self.0.version
    }

    /// The protocol that both sides have agreed on (ALPN): `h2`, `http/1.1`.
    pub fn protocol(&self) -> Option<&str> {
        self.0.protocol.as_deref()
    }

    /// The host that the client has named (SNI). It need not be the one in the request.
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// Whether the client has resumed a session. Its identity is the one of that session's beginning.
    pub fn is_resumed(&self) -> bool {
        self.0.resumed
    }

    /// Who the client is. `None` where it has shown no certificate, or was asked for none.
    pub fn client(&self) -> Option<&ClientIdentity> {
        self.0.client.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_tested_with_a_client_of_its_own() {
        let made = rcgen::generate_simple_self_signed(["jane.example".to_owned()]).expect("made");
        let info = TlsInfo::new(TlsVersion::V1_3);
        let known = info.clone().with_client(ClientIdentity::of(made.cert.der()));
        assert_eq!((info.client(), info.protocol(), info.server_name()), (None, None, None));
        assert_eq!(known.client().expect("it has one").dns_names, ["jane.example"]);
        assert_eq!((known.version(), known.is_resumed()), (TlsVersion::V1_3, false));
    }

    /// It is cloned for each request.
    #[test]
    fn a_clone_is_one_pointer() {
        assert_eq!(size_of::<TlsInfo>(), size_of::<usize>());
    }
}
