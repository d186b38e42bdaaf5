//! Examples of messages, limits and the like, as a user starts them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use multi_node_it::client::get;
use multi_node_it::example::Example;
use multi_node_it::{Client, send, within};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const FOUR: [(&str, &str); 3] = [("PORT", "0"), ("HOST", "127.0.0.1"), ("NODES", "4")];

async fn text(addr: SocketAddr, path: &str) -> String {
    get(addr, path).await.expect("an answer").body
}

async fn put(client: &mut Client, path: &str) -> String {
    client.send(&format!("PUT {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await.expect("sent");
    client.answer().await.expect("an answer").body
}

/// What the node of a slow load says of the value after it, where the value was changed at another node meanwhile.
async fn after_a_change_during_a_load(variables: &[(&str, &str)]) -> String {
    let example =
        Example::start("cache", &[&FOUR[..], &[("LOAD_MS", "1500")], variables].concat()).await.expect("it serves");
    let mut reader = Client::connect(example.addr).await.expect("a connection");
    reader.ask("/price").await.expect("sent");
    while text(example.addr, "/loads").await != "1" {}
    let mut writer = Client::connect(example.addr).await.expect("a connection");
    assert_eq!(put(&mut writer, "/price/7").await, "changed");
    assert_eq!(reader.answer().await.expect("an answer").body, "0", "the load began before the change");
    let after = reader.get("/price").await.expect("an answer").body;
    example.stop().await.expect("it ends well");
    after
}

#[tokio::test]
async fn a_cache_with_generations_keeps_no_value_that_a_slow_load_read_before_a_change() {
    within(60, async {
        assert_eq!(after_a_change_during_a_load(&[]).await, "7");
        assert_eq!(after_a_change_during_a_load(&[("UNCHECKED", "1")]).await, "0", "the race that generations solve");
    })
    .await;
}

#[tokio::test]
async fn a_cache_loads_once_in_each_node_and_again_after_a_change() {
    within(60, async {
        let example = Example::start("cache", &[&FOUR[..], &[("LOAD_MS", "0")]].concat()).await.expect("it serves");
        let mut client = Client::connect(example.addr).await.expect("a connection");
        for _ in 0..5 {
            assert_eq!(client.get("/price").await.expect("an answer").body, "0");
        }
        assert_eq!(text(example.addr, "/loads").await, "1");
        assert_eq!(put(&mut client, "/price/7").await, "changed");
        while client.get("/price").await.expect("an answer").body != "7" {}
        example.stop().await.expect("it ends well");
    })
    .await;
}

#[tokio::test]
async fn the_example_of_limits_lets_100_requests_through_at_all_nodes_together() {
    within(60, async {
        let example = Example::start("limits", &FOUR).await.expect("it serves");
        let (begin, mut answered) = (Instant::now(), 0);
        for _ in 0..140 {
            // Each connection may be another node's.
            answered += u128::from(get(example.addr, "/").await.expect("an answer").status == 200);
        }
        // After the first 100, one each 0.6 s.
        let most = 100 + begin.elapsed().as_millis() / 600 + 1;
        assert!((100..=most).contains(&answered), "{answered} of {most}");
        example.stop().await.expect("it ends well");
    })
    .await;
}

#[tokio::test]
async fn the_example_of_a_pool_shares_the_connections_among_the_nodes() {
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("visits.db");
        let database = ("DATABASE", file.to_str().expect("text"));
        let example = Example::start("pool", &[&FOUR[..], &[database]].concat()).await.expect("it serves");
        let (mut nodes, mut visits) = (BTreeSet::new(), 0);
        while nodes.len() < 2 {
            visits += 1;
            let said = text(example.addr, "/").await;
            let by = said.strip_prefix(&format!("visit {visits}, by ")).unwrap_or_else(|| panic!("{said}"));
            let node = by.strip_suffix(" with 4 connections\n").unwrap_or_else(|| panic!("{said}"));
            nodes.insert(node.to_owned());
        }
        example.stop().await.expect("it ends well");
    })
    .await;
}

#[tokio::test]
async fn the_example_of_websockets_closes_them_with_a_notice_in_a_reload() {
    within(60, async {
        let example = Example::start("websocket", &FOUR).await.expect("it serves");
        let url = format!("ws://{}/", example.addr);
        let (mut socket, _) = connect_async(&url).await.expect("a WebSocket");
        socket.send(Message::text("hello")).await.expect("sent");
        let answer = socket.next().await.expect("an answer").expect("a message").into_text().expect("text");
        assert!(answer.starts_with("node-") && answer.ends_with(": hello"), "{answer}");
        send(example.pid(), Signal::HUP);
        let last = socket.next().await.expect("a notice").expect("a message");
        assert!(matches!(&last, Message::Close(Some(frame)) if frame.code == CloseCode::Restart), "{last:?}");
        let (mut socket, _) = connect_async(&url).await.expect("a WebSocket of another node");
        socket.send(Message::text("hello")).await.expect("sent");
        let again = socket.next().await.expect("an answer").expect("a message").into_text().expect("text");
        assert_ne!(again, answer);
        drop(socket);
        example.stop().await.expect("it ends well");
    })
    .await;
}

#[tokio::test]
async fn the_example_of_bytes_echoes_and_says_that_its_node_leaves() {
    within(60, async {
        let example = Example::start("tcp_echo", &FOUR).await.expect("it serves");
        let mut lines = echoing(example.addr).await;
        send(example.pid(), Signal::HUP);
        let last = lines.next_line().await.expect("a line").expect("no end");
        assert!(last.starts_with("node-") && last.ends_with(" is leaving"), "{last}");
        reloaded(&example).await;
        drop(echoing(example.addr).await);
        example.stop().await.expect("it ends well");
    })
    .await;
}

/// Waits until its last old node has ended.
async fn reloaded(example: &Example) {
    while !example.log().contains("reload done") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A connection on which a line came back.
async fn echoing(addr: SocketAddr) -> Lines<BufReader<TcpStream>> {
    let mut lines = BufReader::new(TcpStream::connect(addr).await.expect("a connection")).lines();
    lines.get_mut().write_all(b"hello\n").await.expect("written");
    assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("hello"));
    lines
}

#[tokio::test]
async fn the_example_of_actix_serves_and_is_reloaded() {
    within(60, async {
        let example = Example::start("actix", &FOUR).await.expect("it serves");
        let said = text(example.addr, "/").await;
        assert!(said.starts_with("hello from node-"), "{said}");
        send(example.pid(), Signal::HUP);
        reloaded(&example).await;
        let said = text(example.addr, "/").await;
        assert!((5..=8).any(|node| said.starts_with(&format!("hello from node-{node} "))), "{said}");
        example.stop().await.expect("it ends well");
    })
    .await;
}

/// What the health service of gRPC answers: the bytes of the message, and the status behind it.
async fn health(addr: SocketAddr) -> (Bytes, Option<String>) {
    let stream = TcpStream::connect(addr).await.expect("a connection");
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let request = hyper::Request::post(format!("http://{addr}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .expect("a request");
    let answer = sender.send_request(request).await.expect("an answer").into_body().collect().await.expect("a body");
    let status = answer.trailers().and_then(|trailers| trailers.get("grpc-status"));
    let status = status.map(|status| String::from_utf8_lossy(status.as_bytes()).into_owned());
    (answer.to_bytes(), status)
}

#[tokio::test]
async fn the_example_of_grpc_serves_and_is_reloaded() {
    within(60, async {
        let example = Example::start("grpc", &FOUR).await.expect("it serves");
        // A message of two bytes: its first field is `SERVING`, 1.
        let serving = (Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]), Some("0".to_owned()));
        assert_eq!(health(example.addr).await, serving);
        send(example.pid(), Signal::HUP);
        reloaded(&example).await;
        assert_eq!(health(example.addr).await, serving);
        example.stop().await.expect("it ends well");
    })
    .await;
}
