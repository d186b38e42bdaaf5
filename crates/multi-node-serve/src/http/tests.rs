//! HTTP over loopback, in this process, against a client that writes and reads bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::ConnectInfo;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::loopback::{LIMIT, Server, hello, http2_client, request, slow};
use crate::load::Counts;
use crate::serving::DrainReport;
use crate::{Addr, ConnInfo, Drain, Here, Http, LoadTable, Place, RequestBody, http, http_with, start};

#[tokio::test]
async fn requests_on_one_connection() {
    let server = Server::start(hello()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        assert!(client.read_to("hello").await.starts_with("HTTP/1.1 200 OK"));
    }
    client.send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc").await;
    client.read_to("abc").await;
    server.until(|counts| counts == Counts { open: 1, accepted: 1, requests: 4, in_flight: 0, skipped: 0 }).await;
    drop(client);
    server.until(|counts| counts.open == 0).await;
}

#[tokio::test]
async fn pipelined_requests_and_heads_in_pieces() {
    let server = Server::start(hello()).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT").await;
    client.read_to("hello").await;
    client.read_to("hello").await;
    client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
    client.read_to("hello").await;
    for piece in "GET / HTTP/1.1\r\nhost: x\r\n\r\n".as_bytes() {
        client.send([*piece]).await;
    }
    client.read_to("hello").await;
}

#[tokio::test]
async fn close_when_the_client_asks_for_it() {
    let server = Server::start(hello()).await;
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(client.rest().await.ends_with("hello"));
    server.until(|counts| counts.open == 0).await;
}

#[tokio::test]
async fn a_head_that_takes_too_long() {
    let server = Server::start(hello().header_timeout(Duration::from_millis(300))).await;
    for first_request in [false, true] {
        let mut client = server.connect().await;
        if first_request {
            client.get("/").await;
            client.read_to("hello").await;
        }
        // Idle for longer than the head may take: only its own first byte starts its time.
        tokio::time::sleep(Duration::from_millis(400)).await;
        client.send("GET / HT").await;
        let begun = Instant::now();
        assert_eq!(client.rest().await, "");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(290), "{took:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::start(hello().keep_alive_timeout(Duration::from_millis(600))).await;
    for requests in 0..3 {
        let mut client = server.connect().await;
        let mut begun = Instant::now();
        for _ in 0..requests {
            tokio::time::sleep(Duration::from_millis(100)).await;
            begun = Instant::now();
            client.get("/").await;
            client.read_to("hello").await;
        }
        assert_eq!(client.rest().await, "");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(590), "{took:?} after {requests}");
    }
}

#[tokio::test]
async fn a_slow_answer_is_not_an_idle_connection() {
    let go = Arc::new(Notify::new());
    let server = Server::start(slow(&go).keep_alive_timeout(Duration::from_millis(100))).await;
    let mut client = server.connect().await;
    client.get("/slow").await;
    server.until(|counts| counts.in_flight == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    go.notify_one();
    client.read_to("done").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn http2_with_prior_knowledge() {
    let go = Arc::new(Notify::new());
    let mut server = Server::start(slow(&go)).await;
    let mut client = http2_client(&server).await;
    let answer = client.send_request(request("/")).await.expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "hello");
    let slow = tokio::spawn(client.send_request(request("/slow")));
    server.until(|counts| counts.in_flight == 1).await;
    server.drain.begin(LIMIT);
    go.notify_one();
    let answer = slow.await.expect("no panic").expect("a stream that was open is answered");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "done");
    assert_eq!(server.drained().await, DrainReport { finished: 1, aborted: 0, handed_off: 0 });
}

#[tokio::test]
async fn idle_http2_connections_are_closed() {
    let mut server = Server::start(hello().keep_alive_timeout(Duration::from_millis(200))).await;
    let mut client = http2_client(&server).await;
    client.send_request(request("/")).await.expect("an answer");
    server.until(|counts| counts.open == 0).await;
    let mut client = http2_client(&server).await;
    client.send_request(request("/")).await.expect("an answer");
    server.drain.begin(LIMIT);
    assert_eq!(server.drained().await.aborted, 0);
}

/// Says what a WebSocket says.
fn echo() -> Router {
    let echo = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        })
    };
    Router::new().route("/", get(echo))
}

/// A WebSocket's head and its first frame.
fn web_socket() -> Vec<u8> {
    let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    [head.as_bytes(), FRAME].concat()
}

const FRAME: &[u8] = b"\x81\x82\0\0\0\0hi";

#[tokio::test]
async fn a_web_socket_begins_in_a_drain_too() {
    let mut server = Server::start(http(echo())).await;
    let mut client = server.connect().await;
    server.until(|counts| counts.open == 1).await;
    server.drain.begin(LIMIT);
    // The drain has been seen when the listener is left.
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.send(web_socket()).await;
    let head = client.read_to("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("connection: upgrade"), "{head:?}");
    let mut echo = [0; 4];
    client.0.read_exact(&mut echo).await.expect("the frame is echoed");
    drop(client);
    assert_eq!(server.drained().await, DrainReport { finished: 1, aborted: 0, handed_off: 0 });
}

#[tokio::test]
async fn a_web_socket_counts_until_it_ends() {
    let mut server = Server::start(http(echo()).keep_alive_timeout(Duration::from_millis(50))).await;
    let mut client = server.connect().await;
    client.send(web_socket()).await;
    assert!(client.read_to("\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    let mut echo = [0; 4];
    client.0.read_exact(&mut echo).await.expect("the frame that came with the head is echoed");
    assert_eq!(&echo, b"\x81\x02hi");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.counts().open, 1);
    server.drain.begin(LIMIT);
    client.send(FRAME).await;
    client.0.read_exact(&mut echo).await.expect("it lives on while others drain");
    drop(client);
    assert_eq!(server.drained().await, DrainReport { finished: 1, aborted: 0, handed_off: 0 });
}

#[tokio::test]
async fn closing_is_no_reset() {
    let app = Router::new().route("/", post(|| async { "unread" }));
    let server = Server::start(http(app)).await;
    let mut client = server.connect().await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\nconnection: close\r\n\r\n";
    client.send(head).await;
    client.send(vec![b'x'; 100_000]).await;
    assert!(client.rest().await.ends_with("unread"));
}

fn who() -> Http<Router, Here> {
    let handler = |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: axum::extract::Request| async move {
        let info = request.extensions().get::<ConnInfo>().expect("every request has it");
        assert_eq!(info.peer, Addr::Tcp(peer));
        assert!(request.extensions().get::<Here>().is_some());
        format!("{} -> {}!", info.peer, info.local)
    };
    http(Router::new().route("/", get(handler)))
}

#[tokio::test]
async fn requests_know_both_ends() {
    let server = Server::start(who()).await;
    let mut client = server.connect().await;
    let local = client.0.local_addr().expect("it is connected");
    client.get("/").await;
    let answer = client.read_to("!").await;
    assert!(answer.ends_with(&format!("{local} -> {}!", server.address)), "{answer:?}");
}

#[tokio::test]
async fn a_proxy_tells_the_client() {
    let server = Server::start(who().proxy_protocol(true)).await;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb";
    for header in [&b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"[..], v2] {
        for pieces in [header.len(), 1, 7] {
            let mut client = server.connect().await;
            for piece in header.chunks(pieces) {
                client.send(piece).await;
                tokio::task::yield_now().await;
            }
            client.get("/").await;
            assert!(client.read_to("!").await.ends_with("192.0.2.1:56324 -> 192.0.2.2:443!"));
        }
    }
    let mut client = server.connect().await;
    client.get("/").await;
    assert_eq!(client.rest().await, "", "without a header there is no answer");
    assert_eq!(server.counts().requests, 6);
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let server = Server::start(hello().max_connections(2)).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    one.get("/").await;
    one.read_to("hello").await;
    two.get("/").await;
    two.read_to("hello").await;
    let mut three = server.connect().await;
    three.get("/").await;
    one.get("/").await;
    one.read_to("hello").await;
    assert_eq!(server.counts().accepted, 2);
    drop(two);
    three.read_to("hello").await;
    assert_eq!(
        server.counts(),
        Counts { open: 2, accepted: 3, requests: 4, in_flight: server.counts().in_flight, skipped: 0 }
    );
}

#[tokio::test]
async fn a_panic_ends_one_connection() {
    async fn fails() -> &'static str {
        panic!("as the test wants it")
    }
    let server =
        Server::start(http(Router::new().route("/", get(|| async { "hello" })).route("/panic", get(fails)))).await;
    let mut other = server.connect().await;
    let mut client = server.connect().await;
    client.get("/panic").await;
    assert_eq!(client.rest().await, "");
    other.get("/").await;
    other.read_to("hello").await;
    server.until(|counts| counts == Counts { open: 1, accepted: 2, requests: 2, in_flight: 0, skipped: 0 }).await;
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_last_byte() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, Infallible>>(1);
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let handler = move || async move {
        let mut receiver = receiver.lock().expect("no panic").take().expect("one request");
        AxumBody::from_stream(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)))
    };
    let server = Server::start(http(Router::new().route("/", get(handler)))).await;
    let mut client = server.connect().await;
    client.get("/").await;
    sender.send(Ok("first".into())).await.expect("it streams");
    client.read_to("first\r\n").await;
    assert_eq!(server.counts().in_flight, 1);
    drop(sender);
    client.read_to("0\r\n\r\n").await;
    server.until(|counts| counts.in_flight == 0).await;
}

/// A service that is ready only at the second poll, and whose clones start again.
#[derive(Default)]
struct Hesitant {
    asked: u32,
}

impl Clone for Hesitant {
    fn clone(&self) -> Hesitant {
        Hesitant::default()
    }
}

impl tower_service::Service<::http::Request<RequestBody>> for Hesitant {
    type Response = ::http::Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        self.asked += 1;
        match self.asked {
            1 => {
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            _ => std::task::Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: ::http::Request<RequestBody>) -> Self::Future {
        assert!(self.asked > 1, "called before it was ready");
        self.asked = 0;
        std::future::ready(Ok(::http::Response::new("at last".to_owned())))
    }
}

#[tokio::test]
async fn services_are_asked_until_they_are_ready() {
    let server = Server::start(http(Hesitant::default())).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        client.read_to("at last").await;
    }
}

#[tokio::test]
async fn a_factory_that_fails_is_a_failed_start() {
    let failing = http_with(|_| async { Err::<Router, _>("no database") });
    let (_drain, signal) = Drain::new();
    let place = Place::new(LoadTable::local(), 0);
    let started = start(failing.into(), vec![vec![]], place, Here, signal).await;
    assert_eq!(started.expect_err("it must not start").to_string(), "no database");
}
