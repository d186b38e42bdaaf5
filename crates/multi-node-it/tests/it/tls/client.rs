//! Clients of HTTPS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::body::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use multi_node_it::Program;
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::Authority;

/// One client, which remembers its sessions.
#[derive(Clone)]
pub(super) struct Https(Arc<ClientConfig>);

impl Https {
    /// `protocol`: what it offers in the handshake.
    pub(super) fn new(authority: &Authority, protocol: &str) -> Https {
        Https::of(authority, protocol, &[&TLS13, &TLS12])
    }

    pub(super) fn of(
        authority: &Authority,
        protocol: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Https {
        Https::with(authority, protocol, versions, None)
    }

    /// A client that shows this certificate, if it is asked for one.
    pub(super) fn showing(authority: &Authority, (cert, key): &(String, String)) -> Https {
        Https::with(authority, "http/1.1", &[&TLS13, &TLS12], Some((cert, key)))
    }

    fn with(
        authority: &Authority,
        protocol: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
        shown: Option<(&str, &str)>,
    ) -> Https {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        config.resumption = Resumption::in_memory_sessions(8);
        Https(Arc::new(config))
    }

    pub(super) async fn connect(&self, addr: SocketAddr) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let name = "localhost".try_into().expect("a name");
        Ok(TlsConnector::from(self.0.clone()).connect(name, stream).await?)
    }

    /// A request on a connection of its own; how the handshake was, and who answered.
    pub(super) async fn ask(&self, addr: SocketAddr) -> anyhow::Result<(HandshakeKind, String)> {
        let stream = self.connect(addr).await?;
        let kind = stream.get_ref().1.handshake_kind().context("it is done")?;
        let (mut sender, conn) = http1::handshake(TokioIo::new(stream)).await?;
        let conn = tokio::spawn(conn);
        let answer = sender.send_request(request("/who")?).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        drop(sender);
        conn.await??;
        Ok((kind, String::from_utf8(body.to_vec())?))
    }
}

pub(super) fn request(path: &str) -> anyhow::Result<Request<Empty<Bytes>>> {
    Ok(Request::get(path).header("host", "localhost").body(Empty::new())?)
}

/// Clients that go on asking while a program changes, and take no failure.
pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    running: Vec<JoinHandle<anyhow::Result<u64>>>,
}

impl Clients {
    /// This number of clients of each protocol, each of which keeps its connection for as long as the server does.
    pub(super) fn begin(authority: &Authority, program: &Program, count: usize) -> Clients {
        let (stop, answered, addr) = (Arc::default(), Arc::default(), program.addr);
        let mut running = Vec::new();
        for number in 0..count {
            // From hardly a pause to long ones, in which connections are idle.
            let pause = Duration::from_millis(1 + 40 * number as u64);
            let (first, second) = (Https::new(authority, "http/1.1"), Https::new(authority, "h2"));
            let shared = || (Arc::clone(&stop), Arc::clone(&answered));
            running.push(tokio::spawn(keep_http1(first, addr, pause, shared())));
            running.push(tokio::spawn(keep_http2(second, addr, pause, shared())));
        }
        Clients { stop, answered, running }
    }

    /// Waits until this number of further requests has been answered, or a client has ended.
    pub(super) async fn go_on(&self, requests: u64) {
        let until = self.answered.load(Ordering::Relaxed) + requests;
        while self.answered.load(Ordering::Relaxed) < until && !self.running.iter().any(JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Checks that every request was answered, and tells how many.
    pub(super) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = 0;
        for client in self.running {
            let answered = client.await.expect("no client panics").expect("no request is lost");
            assert!(answered > 0, "a client never had its turn");
            all += answered;
        }
        all
    }
}

/// Whether to stop, and how many requests all clients have had answered.
type Shared = (Arc<AtomicBool>, Arc<AtomicU64>);

async fn keep_http1(https: Https, addr: SocketAddr, pause: Duration, (stop, all): Shared) -> anyhow::Result<u64> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let stream = https.connect(addr).await.context("an HTTP/1.1 connection")?;
        let (mut sender, conn) = http1::handshake(TokioIo::new(stream)).await?;
        let conn = tokio::spawn(conn);
        while !stop.load(Ordering::Relaxed) && sender.ready().await.is_ok() {
            let answer = sender.send_request(request("/")?).await;
            let answer = answer.with_context(|| format!("request {answered} over HTTP/1.1, pause {pause:?}"))?;
            ensure!(answer.status() == StatusCode::OK, "{answer:?}");
            answer.into_body().collect().await.context("a body over HTTP/1.1")?;
            answered += 1;
            all.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
        }
        drop(sender);
        // An end without `close_notify` would be an error here.
        conn.await?.context("the end of an HTTP/1.1 connection")?;
    }
    Ok(answered)
}

async fn keep_http2(https: Https, addr: SocketAddr, pause: Duration, (stop, all): Shared) -> anyhow::Result<u64> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let stream = https.connect(addr).await.context("an HTTP/2 connection")?;
        let (mut sender, conn) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let conn = tokio::spawn(conn);
        while !stop.load(Ordering::Relaxed) && sender.ready().await.is_ok() {
            let request = Request::get("https://localhost/").body(Empty::<Bytes>::new())?;
            match sender.send_request(request).await {
                // The server has said before that it takes no more: the request has not left.
                Err(error) if error.is_canceled() => break,
                answer => {
                    let answer = answer.with_context(|| format!("request {answered} over HTTP/2, pause {pause:?}"))?;
                    ensure!(answer.status() == StatusCode::OK, "{answer:?}");
                    answer.into_body().collect().await.context("a body over HTTP/2")?;
                    answered += 1;
                    all.fetch_add(1, Ordering::Relaxed);
                }
            }
            tokio::time::sleep(pause).await;
        }
        drop(sender);
        conn.await?.context("the end of an HTTP/2 connection")?;
    }
    Ok(answered)
}
