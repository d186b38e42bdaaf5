//! How long requests and answers may stand still, by a paused clock. It jumps to the next timer when all tasks wait.

use std::convert::Infallible;
use std::time::Duration;

use ::http::Request as HttpRequest;
use axum::Router;
use axum::body::{Body as AxumBody, Bytes};
use axum::extract::Request;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::{get, post};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::loopback::{Client, Server, http2_client, request};
use crate::http;

const LARGE: usize = 16 << 20;

/// `/echo` answers with what it is sent, at once and then piece by piece; `/all` when it has all; `/late` does so after two minutes;
/// `/silent` is a stream of which nothing comes; `/large` and `/many` are answers of 16 MiB, in one piece and in many.
fn routes() -> Router {
    let late = |body: AxumBody| async {
        sleep(Duration::from_secs(120)).await;
        body.collect().await.expect("all of it").to_bytes()
    };
    let many = || async {
        let pieces = futures_util::stream::repeat(Ok::<_, Infallible>(Bytes::from(vec![b'x'; 16 << 10])));
        AxumBody::from_stream(pieces.take(LARGE >> 14))
    };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|request: Request| async { request.into_body() }))
        .route("/all", post(|body: Bytes| async { body }))
        .route("/late", post(late))
        .route("/silent", get(silent))
        .route("/large", get(|| async { "x".repeat(LARGE) }))
        .route("/many", get(many))
}

/// As a stream of events is while nothing happens.
async fn silent() -> AxumBody {
    let first = futures_util::stream::once(async { Ok::<_, Infallible>("event\n\n") });
    AxumBody::from_stream(first.chain(futures_util::stream::pending()))
}

/// Lets all that is under way come to rest, then these seconds pass at once.
async fn pass(seconds: u64) {
    sleep(Duration::from_millis(50)).await;
    tokio::time::pause();
    sleep(Duration::from_secs(seconds)).await;
    tokio::time::resume();
    sleep(Duration::from_millis(50)).await;
}

fn upload(path: &str, length: usize, first: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{first}")
}

async fn begun() -> (Server, Client) {
    let server = Server::start(http(routes())).await;
    let client = server.connect().await;
    (server, client)
}

#[tokio::test]
async fn a_body_of_which_nothing_comes_is_not_waited_for() {
    for first in ["", "he"] {
        let (server, mut client) = begun().await;
        client.send(upload("/all", 5, first)).await;
        pass(58).await;
        assert_eq!(server.counts().in_flight, 1, "{first:?}");
        pass(4).await;
        assert!(client.rest().await.starts_with("HTTP/1.1 400 "), "{first:?}");
        server.until(|counts| counts.open == 0 && counts.in_flight == 0).await;
    }
}

#[tokio::test]
async fn a_body_that_comes_slowly_is() {
    let (_server, mut client) = begun().await;
    client.send(upload("/all", 5, "")).await;
    for byte in "hello".chars() {
        pass(50).await;
        client.send(byte.to_string()).await;
    }
    client.read_to("hello").await;
}

#[tokio::test]
async fn a_body_that_nobody_waits_for_may_take_long() {
    let (_server, mut client) = begun().await;
    client.send(upload("/late", 5, "he")).await;
    pass(119).await;
    client.send("llo").await;
    pass(2).await;
    client.read_to("hello").await;
}

#[tokio::test]
async fn two_sides_that_talk_slowly() {
    let (_server, mut client) = begun().await;
    client.send("POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.read_to("\r\n\r\n").await;
    for _ in 0..2 {
        pass(120).await;
        client.send("2\r\nhi\r\n").await;
        client.read_to("hi\r\n").await;
    }
}

#[tokio::test]
async fn a_silent_stream() {
    let (server, mut client) = begun().await;
    client.get("/silent").await;
    client.read_to("event\n\n\r\n").await;
    let mut http2 = http2_client(&server).await;
    let mut body = http2.send_request(request("/silent")).await.expect("an answer").into_body();
    assert!(body.frame().await.expect("an event").is_ok());
    for _ in 0..2 {
        pass(120).await;
        assert_eq!(server.counts().in_flight, 2);
    }
}

type Upload = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// An HTTP/2 request whose body is sent piece by piece, as gRPC's streams are.
async fn stream(server: &Server, path: &str) -> (mpsc::Sender<&'static str>, HttpRequest<Upload>, Sender) {
    let (pieces, mut receiver) = mpsc::channel::<&'static str>(1);
    let pieces_out = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let body = StreamBody::new(pieces_out.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).boxed());
    let request = HttpRequest::post(format!("http://x{path}")).body(body).expect("a request");
    let io = TokioIo::new(server.connect().await.0);
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    (pieces, request, sender)
}

type Sender = hyper::client::conn::http2::SendRequest<Upload>;

#[tokio::test]
async fn a_bidirectional_stream_as_of_grpc() {
    let (server, _) = begun().await;
    let (pieces, request, mut sender) = stream(&server, "/echo").await;
    let mut body = sender.send_request(request).await.expect("an answer").into_body();
    for _ in 0..2 {
        pass(120).await;
        pieces.send("hi").await.expect("the stream lives");
        let frame = body.frame().await.expect("an echo").expect("the stream lives");
        assert_eq!(frame.into_data().expect("data"), "hi");
    }
}

#[tokio::test]
async fn an_http_2_body_of_which_nothing_comes() {
    let (server, _) = begun().await;
    let (pieces, request, mut sender) = stream(&server, "/all").await;
    let answer = tokio::spawn(sender.send_request(request));
    pieces.send("hi").await.expect("the stream lives");
    pass(58).await;
    assert!(!answer.is_finished());
    pass(4).await;
    assert_eq!(answer.await.expect("no panic").expect("an answer").status(), 400);
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    for path in ["/large", "/many"] {
        let (server, mut client) = begun().await;
        client.get(path).await;
        pass(58).await;
        assert_eq!(server.counts().open, 1, "{path}");
        pass(4).await;
        server.until(|counts| counts.open == 0 && counts.in_flight == 0).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_slowly_is_not() {
    for path in ["/large", "/many"] {
        let (_server, mut client) = begun().await;
        client.get(path).await;
        client.read_to("\r\n\r\n").await;
        for _ in 0..5 {
            pass(50).await;
            let mut some = vec![0; 2 << 20];
            client.0.read_exact(&mut some).await.expect("it goes on");
        }
    }
}

/// A client with this window for each stream, in bytes.
async fn narrow(server: &Server, window: u32) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) =
        builder.handshake(TokioIo::new(server.connect().await.0)).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn a_window_of_0() {
    for (window, path) in [(0, "/"), (0, "/many"), (10_000, "/many")] {
        let (server, _) = begun().await;
        let mut client = narrow(&server, window).await;
        let begin = Instant::now();
        let mut body = client.send_request(request(path)).await.expect("a head").into_body();
        pass(58).await;
        assert_eq!(server.counts().in_flight, 1);
        pass(4).await;
        let end = loop {
            match body.frame().await.expect("no regular end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(end.to_string().contains("body"), "{end}");
        assert!(begin.elapsed() >= Duration::from_secs(60));
        server.until(|counts| counts.in_flight == 0).await;
        // The connection's other requests go on.
        client.send_request(request("/silent")).await.expect("a head");
    }
}

#[tokio::test]
async fn after_an_upgrade_nothing_is_limited() {
    let upgrade = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            let _ = socket.send("x".repeat(LARGE).into()).await;
            while socket.recv().await.is_some() {}
        })
    };
    let server = Server::start(http(Router::new().route("/", get(upgrade)))).await;
    let mut client = server.connect().await;
    let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(head).await;
    client.read_to("\r\n\r\n").await;
    pass(120).await;
    let mut all = vec![0; LARGE + 10];
    client.0.read_exact(&mut all).await.expect("all of it comes");
    pass(120).await;
    assert_eq!(server.counts().open, 1);
}
