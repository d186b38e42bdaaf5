//! HTTPS by the program itself: certificates, and what a handshake told of the client.
//!
//! ```no_run
//! use axum::Router;
//! use multi_node::tls::Certificates;
//! use multi_node::{Error, Options, http, listen};
//!
//! # async fn f(site: Router) -> Result<(), Error> {
//! let server = http(site).tls(Certificates::files("fullchain.pem", "privkey.pem"));
//! listen(Options::new().port(443), server).await?.closed().await
//! # }
//! ```

// The master, or a process that serves alone, reads the certificates and watches their files (`Keeper`); nodes get them by the control
// socket (`Receivers`).

mod keeper;
mod watched;

use std::sync::Arc;

use multi_node_tls::Material;
use multi_node_tls::tickets::Key;

pub(crate) use self::keeper::Keeper;
#[doc(hidden)]
pub use self::watched::read;
use crate::serve::Terminator;
use crate::servers::Servers;
use crate::tls_state::{CertificateAndKey, ServerCertificates, TlsState};
#[doc(hidden)]
pub use multi_node_tls::tickets::Key as TicketKey;
#[doc(inline)]
pub use multi_node_tls::{Certificates, ClientCertificates, ClientIdentity, TlsInfo, TlsVersion};
#[doc(hidden)]
pub use multi_node_tls::{Handshaker, Pair};

/// Where certificates go in a process that serves.
#[derive(Clone, Debug)]
pub(crate) struct Receivers(Vec<Option<Arc<Terminator>>>);

impl Receivers {
    pub(crate) fn of(servers: &Servers) -> Receivers {
        Receivers(servers.terminators())
    }

    /// Gives each server what handshakes go by from now on. A server that nothing came for keeps what it has.
    ///
    /// # Errors
    /// What cannot be used; the master has checked it, so that is for a release that reads certificates in another way.
    pub(crate) fn replace(&self, state: &TlsState) -> Result<(), String> {
        let keys: Vec<Key> = state.ticket_keys.iter().filter_map(|key| key[..].try_into().ok()).collect();
        for (server, terminator) in self.0.iter().enumerate() {
            if let (Some(terminator), Some(Some(certificates))) = (terminator, state.servers.get(server)) {
                let replaced = terminator.replace(&material(certificates), &keys, server);
                replaced.map_err(|error| format!("server {server}: {error}"))?;
            }
        }
        Ok(())
    }
}

fn material(certificates: &ServerCertificates) -> Material {
    let pair = |pair: &CertificateAndKey| Pair {
        chain: pair.chain.iter().map(|certificate| certificate.to_vec()).collect(),
        key: pair.key.to_vec(),
    };
    Material {
        pairs: certificates.pairs.iter().map(pair).collect(),
        client_authorities: certificates.client_authorities.iter().map(|authority| authority.to_vec()).collect(),
        ticket_keys: certificates.ticket_keys.iter().filter_map(|key| key[..].try_into().ok()).collect(),
    }
}

fn certificates(material: &Material) -> ServerCertificates {
    let pair = |pair: &Pair| CertificateAndKey {
        chain: pair.chain.iter().map(|certificate| certificate.clone().into()).collect(),
        key: pair.key.clone().into(),
    };
    ServerCertificates {
        pairs: material.pairs.iter().map(pair).collect(),
        client_authorities: material.client_authorities.iter().map(|authority| authority.clone().into()).collect(),
        ticket_keys: material.ticket_keys.iter().map(|key| key.to_vec().into()).collect(),
    }
}
