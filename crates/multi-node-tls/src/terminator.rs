//! What handshakes of one server go by, which can be replaced at any moment.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ring::digest;
use rustls::crypto::ring::default_provider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::tickets::{Key, Tickets};
use crate::{
    CertificateError, Certificates, ClientCertificates, HandshakeCounts, Handshaker, Material, Pair, TlsVersion,
};

/// The protocols that a server of HTTP offers, in the order of its preference.
const HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What the handshakes of one server go by. It is empty until [`replace`](Terminator::replace) is called. Handshakes that have begun go
/// by what they began with.
pub struct Terminator {
    certificates: Certificates,
    /// Which protocols it offers (ALPN).
    protocols: Vec<Vec<u8>>,
    config: RwLock<Option<Arc<ServerConfig>>>,
    handshakes: HandshakeCounts,
    /// Who shakes hands, where that is not this library.
    elsewhere: Option<Box<dyn Handshaker>>,
}

impl Terminator {
    /// For a server of HTTP.
    pub fn http(certificates: Certificates) -> Terminator {
        Terminator::new(certificates, HTTP.map(<[u8]>::to_vec).to_vec())
    }

    /// For a server of any protocol, which clients need not name.
    pub fn raw(certificates: Certificates) -> Terminator {
        Terminator::new(certificates, Vec::new())
    }

    fn new(certificates: Certificates, protocols: Vec<Vec<u8>>) -> Terminator {
        let (config, handshakes) = (RwLock::new(None), HandshakeCounts::default());
        Terminator { certificates, protocols, config, handshakes, elsewhere: None }
    }

    /// For a server whose handshakes are done by other code.
    pub fn elsewhere(certificates: Certificates, handshaker: impl Handshaker + 'static) -> Terminator {
        Terminator { elsewhere: Some(Box::new(handshaker)), ..Terminator::raw(certificates) }
    }

    /// Whether it shakes hands, and other code does not.
    pub fn is_here(&self) -> bool {
        self.elsewhere.is_none()
    }

    /// Where its certificates come from.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Whether the code that shakes hands can use what has been read. It may wait.
    ///
    /// # Errors
    /// [`CertificateError::Refused`].
    pub fn check(&self, material: &Material) -> Result<(), CertificateError> {
        let (Some(handshaker), Some(files)) = (&self.elsewhere, self.certificates.pairs.first()) else { return Ok(()) };
        let checked = material.pairs.first().map_or(Ok(()), |pair| handshaker.check(pair));
        checked.map_err(|cause| CertificateError::Refused { file: files.cert.clone(), cause })
    }

    /// How its handshakes in this process have ended.
    pub fn handshakes(&self) -> &HandshakeCounts {
        &self.handshakes
    }

    /// How long a handshake may take.
    pub fn handshake_timeout(&self) -> Duration {
        self.certificates.handshake_timeout
    }

    /// How many handshakes may be under way.
    pub fn max_handshakes(&self) -> usize {
        self.certificates.max_handshakes
    }

    /// What a new handshake goes by; `None` before the first certificates.
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        // A change is one assignment.
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Certificates and keys of tickets for the handshakes that begin from now on. Keys of the material, which several machines share, come
    /// before those of the program. `server` tells servers of one program apart.
    ///
    /// # Errors
    /// Where the certificates cannot be used. What was in force stays.
    pub fn replace(&self, material: &Material, ticket_keys: &[Key], server: usize) -> Result<(), BadMaterial> {
        let shared = &material.ticket_keys[..];
        let ticket_keys = if shared.is_empty() { ticket_keys } else { shared };
        if let Some(handshaker) = &self.elsewhere {
            handshaker.take(material.pairs.first(), ticket_keys);
            return Ok(());
        }
        let config = self.make(material, ticket_keys, server)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(config));
        Ok(())
    }

    /// What certificates of clients are verified by; `None` where they are asked for none.
    fn verifier(&self, material: &Material) -> Result<Option<Arc<dyn ClientCertVerifier>>, BadMaterial> {
        let Some((_, certificates)) = &self.certificates.client_authority else { return Ok(None) };
        // A master of an earlier release, or one that has begun without: its program has to be upgraded.
        if material.client_authorities.is_empty() {
            return Err(BadMaterial("the master has no authority of clients".to_owned()));
        }
        let mut roots = RootCertStore::empty();
        for authority in &material.client_authorities {
            roots.add(authority.clone().into()).map_err(bad)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
        let builder = match certificates {
            ClientCertificates::Required => builder,
            ClientCertificates::Optional => builder.allow_unauthenticated(),
        };
        builder.build().map(Some).map_err(bad)
    }

    /// What session tickets are bound to: by which rules clients are verified. One that was let in by other rules does not resume.
    fn tickets_scope(&self, material: &Material) -> String {
        let Some((_, certificates)) = &self.certificates.client_authority else { return String::new() };
        let mut digest = digest::Context::new(&digest::SHA256);
        for authority in &material.client_authorities {
            digest.update(&(authority.len() as u64).to_be_bytes());
            digest.update(authority);
        }
        format!(", {certificates:?} for clients of {:?}", digest.finish())
    }

    fn make(&self, material: &Material, ticket_keys: &[Key], server: usize) -> Result<ServerConfig, BadMaterial> {
        let versions = match self.certificates.min_version {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).map_err(bad)?;
        let builder = match self.verifier(material)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::of(material)?));
        config.alpn_protocols.clone_from(&self.protocols);
        // Sessions are in tickets alone: no process remembers one that another would not know.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(Tickets::new(ticket_keys, server, &self.tickets_scope(material)));
        // No 0-RTT: such a request could be sent again by anybody who has seen it.
        config.max_early_data_size = 0;
        Ok(config)
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// Certificates that cannot be used after all.
#[derive(Debug, thiserror::Error)]
#[error("the certificates cannot be used: {0}")]
pub struct BadMaterial(String);

fn bad(error: impl fmt::Display) -> BadMaterial {
    BadMaterial(error.to_string())
}

/// Chooses by the host that the client names.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ByName {
    fn of(material: &Material) -> Result<ByName, BadMaterial> {
        let keys = material.pairs.iter().map(certified).collect::<Result<Vec<_>, _>>()?;
        match keys.is_empty() {
            true => Err(BadMaterial("there are none".to_owned())),
            false => Ok(ByName(keys)),
        }
    }

    fn choose(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        // Nothing to choose: the names in a certificate are parsed for each client that names a host.
        if let [only] = &self.0[..] {
            return Some(only.clone());
        }
        let named = host.and_then(|host| ServerName::try_from(host).ok());
        let fits = |key: &&Arc<CertifiedKey>| named.as_ref().is_some_and(|named| is_for(key, named));
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.cert.first().and_then(|certificate| webpki::EndEntityCert::try_from(certificate).ok());
    parsed.is_some_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok())
}

fn certified(pair: &Pair) -> Result<Arc<CertifiedKey>, BadMaterial> {
    let chain = pair.chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
    let key = PrivateKeyDer::try_from(pair.key.clone()).map_err(bad)?;
    CertifiedKey::from_der(chain, key, &default_provider()).map(Arc::new).map_err(bad)
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(client_hello.server_name())
    }
}
