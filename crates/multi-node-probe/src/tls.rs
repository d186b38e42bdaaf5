//! TLS, where this crate is built with it (feature `tls`).

use std::fmt;

/// Whose certificates are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Those that the system trusts.
    System,
    /// Any certificate: the identity of the server is not verified.
    Anybody,
}

/// TLS cannot be spoken.
#[derive(Debug)]
pub enum TlsError {
    /// This program was built without it.
    NotBuilt,
    /// The host has a name that no certificate can have.
    Name(String),
    /// The system has no certificates that could be trusted.
    NoCertificates,
}

impl std::error::Error for TlsError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::NotBuilt => f.write_str("this build speaks no TLS; build it with the feature `tls`"),
            TlsError::Name(host) => write!(f, "no certificate can be for a host named {host:?}"),
            TlsError::NoCertificates => f.write_str(
                "the system has no trusted certificates; install them, or trust any certificate by --insecure",
            ),
        }
    }
}

#[cfg(feature = "tls")]
pub(crate) use spoken::Tls;
#[cfg(not(feature = "tls"))]
pub(crate) use unspoken::Tls;

#[cfg(not(feature = "tls"))]
mod unspoken {
    use std::io;

    use tokio::net::TcpStream;

    use super::{TlsError, Trust};
    use crate::stream::Stream;

    /// There is none.
    #[derive(Debug, Clone)]
    pub(crate) enum Tls {}

    impl Tls {
        pub(crate) fn new(_: &str, _: Trust) -> Result<Tls, TlsError> {
            Err(TlsError::NotBuilt)
        }

        #[allow(clippy::unused_async)]
        pub(crate) async fn connect(&self, _: TcpStream) -> io::Result<Stream> {
            match *self {}
        }
    }
}

#[cfg(feature = "tls")]
mod spoken {
    use std::{io, sync::Arc};

    use rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    };
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::{TlsError, Trust};
    use crate::stream::Stream;

    /// How a host's TLS is spoken.
    #[derive(Clone)]
    pub(crate) struct Tls {
        connector: TlsConnector,
        name: ServerName<'static>,
    }

    impl std::fmt::Debug for Tls {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_tuple("Tls").field(&self.name).finish()
        }
    }

    impl Tls {
        pub(crate) fn new(host: &str, trust: Trust) -> Result<Tls, TlsError> {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
            let provider = Arc::new(ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
            let config = config.expect("the provider has suites for all versions");
            let mut config = match trust {
                Trust::System => config.with_root_certificates(system()?).with_no_client_auth(),
                Trust::Anybody => {
                    let anybody = Arc::new(Anybody(provider));
                    config.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
                }
            };
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Tls { connector: TlsConnector::from(Arc::new(config)), name })
        }

        pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<Stream> {
            let stream = self.connector.connect(self.name.clone(), stream).await;
            Ok(Box::new(stream.map_err(|error| io::Error::new(error.kind(), format!("TLS: {error}")))?))
        }
    }

    fn system() -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        // Single certificates that cannot be read are of no account.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() { Err(TlsError::NoCertificates) } else { Ok(store) }
    }

    /// Trusts every certificate, and checks that the server has its key.
    #[derive(Debug)]
    struct Anybody(Arc<CryptoProvider>);

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
