//! The servers of `tls`.

use std::{convert::Infallible, fs, net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use multi_node::{Role, http, listen, role};
use rustls::{
    ServerConfig,
    crypto::ring::{Ticketer, default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::NoServerSessionStorage,
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    certificate, process,
    variants::{
        HELLO, announce_pids,
        multi_node::{Hello, options, until_end},
    },
};

pub(super) fn multi_node(folder: &Path) -> Result<()> {
    if role() == Role::Master {
        process::die_with_parent()?;
    }
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let nodes = listen(options(1, 0), http(Hello).tls(certificate::files(folder))).await?;
        if nodes.is_master() {
            nodes.ready().await?;
            let port = nodes.local_addr().tcp().context("a TCP address")?.port();
            announce_pids(port, nodes.status().slots.into_iter().filter_map(|slot| slot.pid))?;
        }
        until_end(&nodes).await
    })
}

/// What one writes with the same libraries: tickets too, and no early data.
pub(super) fn hand_made(folder: &Path) -> Result<()> {
    process::die_with_parent()?;
    let chain = vec![CertificateDer::from_pem_slice(&fs::read(folder.join("cert.pem"))?)?];
    let key = PrivateKeyDer::from_pem_slice(&fs::read(folder.join("key.pem"))?)?;
    let config =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce_pids(listener.local_addr()?.port(), std::iter::empty())?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve_one(acceptor.clone(), stream));
        }
    })
}

async fn serve_one(acceptor: TlsAcceptor, stream: TcpStream) {
    // A client that breaks off is an error at the client.
    if let Ok(stream) = acceptor.accept(stream).await {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hello)).await;
    }
}

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(HELLO.as_bytes()))))
}
