//! What a server refuses, and how much it allows.

use std::time::Duration;

use ::http::StatusCode;

use super::loopback::{Server, hello, http2_client, request};

/// A request whose head has this number of bytes.
fn head_of(bytes: usize) -> String {
    let (begin, end) = ("GET / HTTP/1.1\r\nhost: x\r\nx: ", "\r\n\r\n");
    format!("{begin}{}{end}", "x".repeat(bytes - begin.len() - end.len()))
}

#[tokio::test]
async fn a_head_that_is_too_long_is_answered_with_431() {
    for (server, limit) in [(hello(), 64 * 1024), (hello().header_limit(1000), 1000)] {
        let server = Server::start(server).await;
        for first_request in [false, true] {
            let mut client = server.connect().await;
            if first_request {
                client.get("/").await;
                client.read_to("hello").await;
            }
            client.send(head_of(limit)).await;
            client.read_to("hello").await;
            client.send(head_of(limit + 1)).await;
            assert!(client.rest().await.starts_with("HTTP/1.1 431 "), "{limit}");
        }
        // Nor is the end of an endless one waited for.
        let mut client = server.connect().await;
        client.send(&head_of(limit + 100)[..limit]).await;
        assert!(client.rest().await.starts_with("HTTP/1.1 431 "), "{limit}");
        server.until(|counts| counts.open == 0).await;
    }
}

#[tokio::test]
async fn so_it_is_with_http_2() {
    let server = Server::start(hello().header_limit(20_000)).await;
    let mut client = http2_client(&server).await;
    for (bytes, status) in [(15_000, StatusCode::OK), (25_000, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        let mut request = request("/");
        request.headers_mut().insert("x", "x".repeat(bytes).parse().expect("a value"));
        assert_eq!(client.send_request(request).await.expect("an answer").status(), status);
    }
}

#[tokio::test]
async fn requests_without_one_host_are_refused() {
    let server = Server::start(hello()).await;
    let hosts = ["host: x\r\n", "", "host: x\r\nhost: x\r\n", "host: x\r\nhost: y\r\n", "host:\r\n"];
    let versions = [("1.1", [200, 400, 400, 400, 200]), ("1.0", [200, 200, 400, 400, 200])];
    for (version, expected) in versions {
        for (host, status) in hosts.into_iter().zip(expected) {
            let mut client = server.connect().await;
            client.send(format!("GET / HTTP/{version}\r\n{host}connection: close\r\n\r\n")).await;
            let answer = client.rest().await;
            let line = format!("HTTP/{version} {status} ");
            assert!(answer.starts_with(&line) && answer.ends_with("hello") == (status == 200), "{host:?}: {answer:?}");
        }
    }
    // What follows such a request is not answered.
    let mut client = server.connect().await;
    client.send("POST /echo HTTP/1.1\r\ncontent-length: 2\r\n\r\nhiGET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"), "{answer:?}");
    assert!(!answer.contains("200 OK"), "{answer:?}");
    server.until(|counts| counts.open == 0 && counts.in_flight == 0).await;
}

#[tokio::test]
async fn servers_without_a_limit_share_what_the_process_allows() {
    let server = Server::start_in(hello(), None, Some(2)).await;
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    for client in [&mut one, &mut two] {
        client.get("/").await;
        client.read_to("hello").await;
    }
    let mut three = server.connect().await;
    three.get("/").await;
    assert!(server.serving.handoff_receiver().reserve(0).is_none(), "there is no place for others either");
    one.get("/").await;
    one.read_to("hello").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(server.counts().accepted, 2);
    drop(two);
    three.read_to("hello").await;
}

#[tokio::test]
async fn the_idlest_connection_makes_room_where_it_is_to() {
    let server = Server::start(hello().max_connections(2).idlest_leaves()).await;
    let mut silent = server.connect().await;
    server.until(|counts| counts.open == 1).await;
    let mut busy = server.connect().await;
    for _ in 0..10 {
        busy.get("/").await;
        busy.read_to("hello").await;
        let mut more = server.connect().await;
        more.get("/").await;
        more.read_to("hello").await;
    }
    assert_eq!(silent.rest().await, "");
    server.until(|counts| counts.open <= 2).await;
}
