//! What a request on a kept connection allocates beside what hyper does: only what it carries.

#![cfg(feature = "http")]

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use multi_node_serve::{Drain, LoadTable, Place, RequestBody, Servers, Socket, http, start};
use tokio::sync::oneshot;

/// Requests of the shorter and of the longer of two runs; what lies between is the requests' alone.
const REQUESTS: [u64; 2] = [100, 1100];

/// The map of a request's extensions, its table, the context, `ConnInfo`, and axum's `ConnectInfo`.
const CARRIED: u64 = 4 + cfg!(feature = "axum") as u64;

#[test]
fn a_request_allocates_only_what_it_carries() {
    let (ours, by_hand) = (per_thousand(serve), per_thousand(serve_by_hand));
    let more = ours.checked_sub(by_hand).expect("what a request carries is allocated");
    // A growing buffer of hyper's may fall into either run.
    assert!(more.abs_diff(CARRIED * 1000) < 100, "1000 requests have allocated {ours} times, by hand {by_hand}");
}

/// The allocations of a thousand requests.
fn per_thousand<F: Future>(server: impl Fn(TcpListener) -> F) -> u64 {
    let [shorter, longer] = REQUESTS.map(|requests| allocations(&server, requests));
    longer - shorter
}

/// All allocations of a server that answers this number of requests of one client.
fn allocations<F: Future>(server: &impl Fn(TcpListener) -> F, requests: u64) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket's setting");
    let address = listener.local_addr().expect("it is bound");
    let (done, client_done) = oneshot::channel();
    let client = std::thread::spawn(move || {
        ask(address, requests);
        done.send(()).expect("the server waits for it");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            tokio::select! {
                _ = server(listener) => panic!("the server has ended"),
                ended = client_done => ended.expect("the client has got its answers"),
            }
        });
    });
    client.join().expect("the client has got its answers");
    counted.count_total
}

/// Sends requests on one connection, each after the answer to the one before.
fn ask(address: SocketAddr, requests: u64) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let mut answer = Vec::new();
    for _ in 0..requests {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
        answer.clear();
        while !answer.ends_with(b"hello") {
            let mut piece = [0; 512];
            let count = stream.read(&mut piece).expect("the server answers");
            assert!(count > 0, "the connection has ended within an answer");
            answer.extend_from_slice(&piece[..count]);
        }
    }
}

async fn serve(listener: TcpListener) {
    let (_drain, signal) = Drain::new();
    let place = Place { most_connections: Some(10), ..Place::new(LoadTable::local(), 0) };
    let context: Arc<str> = "the program's".into();
    let servers: Servers<Arc<str>> = http(Hello).into();
    let mut serving =
        start(servers, vec![vec![Socket::Tcp(listener)]], place, context, signal).await.expect("it starts");
    serving.finished().await.expect("no drain begins");
}

/// hyper as one uses it without the library.
async fn serve_by_hand(listener: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("in a runtime");
    loop {
        let (stream, _) = listener.accept().await.expect("a client");
        let service = service_fn(|_| ready(Ok::<_, Infallible>(hello())));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn hello() -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(b"hello")))
}

#[derive(Clone)]
struct Hello;

impl tower_service::Service<Request<RequestBody>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        ready(Ok(hello()))
    }
}
