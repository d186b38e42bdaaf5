//! A server over loopback, in this process, and a client that writes and reads bytes: what the tests of HTTP stand on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::idle_conn::IdleConn;
use crate::load::{Counts, Faults};
use crate::owners::Owners;
use crate::serving::DrainReport;
use crate::{Drain, Here, Http, LoadTable, Place, Servers, Serving, Socket, http, start};

/// No test takes longer; it is the limit of waiting, not of passing.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Server {
    pub(super) serving: Serving,
    pub(super) drain: Drain,
    load: LoadTable,
    pub(super) address: SocketAddr,
}

impl Server {
    pub(super) async fn start(servers: impl Into<Servers<Here>>) -> Server {
        Server::start_with(servers, None).await
    }

    pub(super) async fn start_with(
        servers: impl Into<Servers<Here>>,
        handoff_sender: Option<mpsc::Sender<IdleConn>>,
    ) -> Server {
        Server::start_in(servers, handoff_sender, None).await
    }

    /// In a process that allows this number of connections.
    pub(super) async fn start_in(
        servers: impl Into<Servers<Here>>,
        handoff_sender: Option<mpsc::Sender<IdleConn>>,
        most_connections: Option<usize>,
    ) -> Server {
        Server::start_among(servers, handoff_sender, most_connections, None).await
    }

    /// Where requests have owners.
    pub(super) async fn start_among(
        servers: impl Into<Servers<Here>>,
        handoff_sender: Option<mpsc::Sender<IdleConn>>,
        most_connections: Option<usize>,
        owners: Option<Owners>,
    ) -> Server {
        Server::start_at(servers, |load| Place { handoff_sender, most_connections, owners, ..Place::new(load, 0) })
            .await
    }

    /// Where this is its place.
    pub(super) async fn start_at(servers: impl Into<Servers<Here>>, place: impl FnOnce(LoadTable) -> Place) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("a socket can be");
        let address = listener.local_addr().expect("it is bound");
        let load = LoadTable::local();
        let (drain, signal) = Drain::new();
        let place = place(load.clone());
        let sockets = vec![vec![Socket::Tcp(listener)]];
        let serving = start(servers.into(), sockets, place, Here, signal).await.expect("it starts");
        Server { serving, drain, load, address }
    }

    pub(super) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("it listens"))
    }

    pub(super) fn counts(&self) -> Counts {
        self.load.counts(0)
    }

    pub(super) fn faults(&self) -> Faults {
        self.load.faults(0)
    }

    pub(super) async fn until(&self, what: impl Fn(Counts) -> bool) {
        let reached = async {
            while !what(self.counts()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(LIMIT, reached).await.is_ok(), "it stays at {:?}", self.counts());
    }

    pub(super) async fn drained(&mut self) -> DrainReport {
        timeout(LIMIT, self.serving.drained()).await.expect("the drain ends")
    }
}

pub(super) struct Client(pub(super) TcpStream);

impl Client {
    pub(super) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.expect("it is open");
    }

    /// Reads until what came ends with `end`.
    pub(super) async fn read_to(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            let byte = timeout(LIMIT, self.0.read_u8()).await;
            let so_far = || String::from_utf8_lossy(&read).into_owned();
            read.push(
                byte.unwrap_or_else(|_| panic!("stuck after {:?}", so_far()))
                    .unwrap_or_else(|e| panic!("{e} after {:?}", so_far())),
            );
        }
        String::from_utf8(read).expect("answers are text")
    }

    pub(super) async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    }

    /// Shuts down the writing side: the client sends no more, and reads on.
    pub(super) async fn end(&mut self) {
        self.0.shutdown().await.expect("it is open");
    }

    /// The rest until the other side's orderly end.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        timeout(LIMIT, self.0.read_to_string(&mut rest)).await.expect("the end comes").expect("in order");
        rest
    }
}

pub(super) fn hello() -> Http<Router, Here> {
    http(Router::new().route("/", get(|| async { "hello" })).route("/echo", post(|body: Bytes| async { body })))
}

/// A server whose `/slow` answers once it is notified.
pub(super) fn slow(go: &Arc<Notify>) -> Http<Router, Here> {
    let go = go.clone();
    http(Router::new().route("/", get(|| async { "hello" })).route(
        "/slow",
        get(move || async move {
            go.notified().await;
            "done"
        }),
    ))
}

pub(super) async fn http2_client(server: &Server) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    http2_on(server.connect().await).await
}

pub(super) async fn http2_on(client: Client) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    let (sender, conn) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client.0))
        .await
        .expect("it speaks HTTP/2");
    tokio::spawn(conn);
    sender
}

pub(super) fn request(path: &str) -> ::http::Request<Empty<Bytes>> {
    ::http::Request::get(format!("http://x{path}")).body(Empty::new()).expect("a request")
}
