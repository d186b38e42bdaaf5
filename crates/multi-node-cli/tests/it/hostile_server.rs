//! A server whose answers the test chooses, and a command line that waits while the server misbehaves.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, Mode as FileMode, mkfifoat};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_tungstenite::accept_async;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Well,
    /// Well, and says that the connection ends with the answer.
    Closing,
    /// Resets the connection instead.
    Resets,
    /// Closes the connection instead, in good order.
    Closes,
    /// Ends within the body, or between two chunks of it.
    Truncates,
    TruncatesChunks,
    Fails,
    Garbage,
    /// Never.
    Never,
    /// Well, and closes the connection a moment later.
    ClosesIdle,
    /// Closes a WebSocket in good order.
    CloseFrame,
}

/// The server. It ends when this is dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) manner: watch::Sender<Manner>,
    /// Requests that were answered in another manner than well.
    pub(crate) badly: Arc<AtomicU64>,
    tls: Option<TlsAcceptor>,
    listening: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Server {
        Server::on("127.0.0.1:0", None).await
    }

    /// With a certificate that nobody trusts.
    pub(crate) async fn with_tls() -> Server {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config =
            ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).expect("its key");
        Server::on("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn on(addr: &str, tls: Option<TlsAcceptor>) -> Server {
        let (manner, badly) = (watch::Sender::new(Manner::Well), Arc::default());
        let listener = TcpListener::bind(addr).await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let listening = listen(listener, &manner, &badly, tls.clone());
        Server { addr, manner, badly, tls, listening }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}/", self.addr.port())
    }

    /// Closes the listening socket and all connections.
    pub(crate) fn go(&self) {
        self.listening.abort();
    }

    /// Listens again.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.addr).await.expect("the port that was ours");
        self.listening = listen(listener, &self.manner, &self.badly, self.tls.clone());
    }

    /// Waits until this number of requests was answered badly.
    pub(crate) async fn has_answered_badly(&self, times: u64) {
        while self.badly.load(Ordering::Relaxed) < times {
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

/// Accepts until it is aborted, which ends the connections too.
fn listen(
    listener: TcpListener,
    manner: &watch::Sender<Manner>,
    badly: &Arc<AtomicU64>,
    tls: Option<TlsAcceptor>,
) -> AbortHandle {
    let (manner, badly) = (manner.subscribe(), badly.clone());
    let accepting = async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(speak(stream, tls.clone(), manner.clone(), badly.clone()));
        }
    };
    tokio::spawn(accepting).abort_handle()
}

async fn speak(stream: TcpStream, tls: Option<TlsAcceptor>, manner: watch::Receiver<Manner>, badly: Arc<AtomicU64>) {
    let mut beginning = [0; 7];
    if let Some(tls) = tls {
        if let Ok(stream) = tls.accept(stream).await {
            answer(stream, manner, badly).await;
        }
    } else if stream.peek(&mut beginning).await.is_ok() && &beginning == b"GET /ws" {
        echo(stream, manner, badly).await;
    } else {
        answer(stream, manner, badly).await;
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut manner: watch::Receiver<Manner>,
    badly: Arc<AtomicU64>,
) {
    let mut seen = Vec::new();
    loop {
        let now = *manner.borrow_and_update();
        if now == Manner::Resets && stream.read_exact(&mut [0]).await.is_ok() {
            // What was not read when a socket is closed resets its connection (tcp(7)).
            badly.fetch_add(1, Ordering::Relaxed);
            return;
        }
        while !seen.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut seen).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        seen.clear();
        let now = *manner.borrow_and_update();
        // One that was being read when `Resets` began is read whole, and so it is answered well.
        let well = matches!(now, Manner::Well | Manner::Resets);
        badly.fetch_add(u64::from(!well), Ordering::Relaxed);
        let (bytes, goes_on) = bytes(now);
        if now == Manner::Never {
            std::future::pending::<()>().await;
        }
        let written = stream.write_all(bytes.as_bytes()).await.is_ok() && stream.flush().await.is_ok();
        if !written || !goes_on {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// What is written, and whether the connection goes on.
fn bytes(manner: Manner) -> (&'static str, bool) {
    match manner {
        Manner::Well | Manner::Resets | Manner::Never | Manner::CloseFrame => {
            ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell", true)
        }
        Manner::Closing => ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nwell", false),
        Manner::ClosesIdle => ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell", false),
        Manner::Closes => ("", false),
        Manner::Truncates => ("HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\nwell", false),
        Manner::TruncatesChunks => ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwell\r\n", false),
        Manner::Fails => ("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", true),
        Manner::Garbage => ("\u{1}\u{2} no HTTP\r\n\r\n", false),
    }
}

/// A WebSocket that answers pings, as tungstenite does automatically.
async fn echo(stream: TcpStream, mut manner: watch::Receiver<Manner>, badly: Arc<AtomicU64>) {
    use futures_util::StreamExt;
    let Ok(mut socket) = accept_async(stream).await else { return };
    loop {
        tokio::select! {
            message = socket.next() => if !matches!(message, Some(Ok(_))) { return },
            now = changed(&mut manner) => {
                badly.fetch_add(1, Ordering::Relaxed);
                if now == Manner::CloseFrame {
                    let _ = socket.close(None).await;
                    while let Some(Ok(_)) = socket.next().await {}
                }
                return;
            }
        }
    }
}

/// The manner, once it is not the good one.
async fn changed(manner: &mut watch::Receiver<Manner>) -> Manner {
    let changed = manner.wait_for(|manner| *manner != Manner::Well).await.map(|now| *now);
    match changed {
        Ok(now) => now,
        // Without the test nothing changes any more.
        Err(_) => std::future::pending().await,
    }
}

/// A command line that says when it has begun, and ends when it may.
pub(crate) struct Waiting {
    folder: TempDir,
    begun: pipe::Receiver,
    may_end: pipe::Sender,
}

impl Waiting {
    pub(crate) fn new() -> Waiting {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = |name: &str| -> PathBuf {
            let path = folder.path().join(name);
            mkfifoat(CWD, &path, FileMode::RUSR | FileMode::WUSR).expect("a FIFO");
            path
        };
        let mut options = pipe::OpenOptions::new();
        // So that neither side waits for the other to open it.
        options.read_write(true);
        let begun = options.open_receiver(fifo("begun")).expect("ours");
        let may_end = options.open_sender(fifo("may-end")).expect("ours");
        Waiting { folder, begun, may_end }
    }

    /// What the shell is given; it ends with the code of the last command.
    pub(crate) fn line(&self, last: &str) -> String {
        let folder = self.folder.path().display();
        format!("echo >{folder}/begun; read line <{folder}/may-end; {last}")
    }

    pub(crate) async fn begun(&mut self) {
        self.begun.read_exact(&mut [0]).await.expect("the command says so");
    }

    pub(crate) async fn may_end(&mut self) {
        self.may_end.write_all(b"\n").await.expect("the command reads it");
    }
}
