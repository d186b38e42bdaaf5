//! The clients of `tls`.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, client::Resumption, crypto::ring::default_provider,
    pki_types::CertificateDer,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::variants::HELLO;

/// What a client does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// A connection with a full handshake and one request.
    Full,
    /// The same with a session that is resumed.
    Resumed,
    /// A request on a kept connection.
    Request,
}

impl Task {
    pub(super) const ALL: [Task; 3] = [Task::Full, Task::Resumed, Task::Request];

    pub(super) fn name(self) -> &'static str {
        match self {
            Task::Full => "connection with a full handshake and a request",
            Task::Resumed => "connection with a resumed session and a request",
            Task::Request => "request on a kept connection",
        }
    }
}

/// A client with sessions of its own.
pub(super) struct Client {
    address: SocketAddr,
    connector: TlsConnector,
    task: Task,
    kept: Option<TlsStream<TcpStream>>,
}

impl Client {
    pub(super) fn new(address: SocketAddr, root: CertificateDer<'static>, task: Task) -> Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match task {
            Task::Resumed => Resumption::in_memory_sessions(4),
            Task::Full | Task::Request => Resumption::disabled(),
        };
        Ok(Client { address, connector: TlsConnector::from(Arc::new(config)), task, kept: None })
    }

    /// Does what comes before the measurement.
    async fn ready(mut self) -> Result<Client> {
        match self.task {
            Task::Full => {}
            Task::Resumed => drop(self.come().await?),
            Task::Request => self.kept = Some(self.connect().await?),
        }
        Ok(self)
    }

    async fn work(mut self, times: usize) -> Result<()> {
        for _ in 0..times {
            match (&mut self.kept, self.task) {
                (Some(kept), _) => ask(kept, "").await?,
                (None, task) => {
                    let expected = if task == Task::Resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
                    let kind = self.come().await?;
                    ensure!(kind == expected, "a handshake was {kind:?}, expected {expected:?}");
                }
            }
        }
        Ok(())
    }

    /// One request on a connection of its own.
    async fn come(&self) -> Result<HandshakeKind> {
        let mut stream = self.connect().await?;
        let kind = stream.get_ref().1.handshake_kind().context("it is done")?;
        ask(&mut stream, "connection: close\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(kind)
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(self.connector.connect("localhost".try_into()?, stream).await?)
    }
}

/// A request, and its answer up to the end of the body.
async fn ask(stream: &mut TlsStream<TcpStream>, header: &str) -> Result<()> {
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{header}\r\n").as_bytes()).await?;
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(HELLO.as_bytes()) {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the connection has ended within an answer");
    }
    Ok(())
}

pub(super) async fn ready(clients: Vec<Client>) -> Result<Vec<Client>> {
    let mut ready = Vec::new();
    for client in clients {
        ready.push(client.ready().await?);
    }
    Ok(ready)
}

/// Lets all work at once; how long that took.
pub(super) async fn work(clients: Vec<Client>, times: usize) -> Result<Duration> {
    let begun = Instant::now();
    let mut working = JoinSet::new();
    clients.into_iter().for_each(|client| drop(working.spawn(client.work(times))));
    while let Some(done) = working.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}
