//! What connections meet in a drain.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::loopback::{LIMIT, Server, hello, http2_on, request, slow};
use crate::serving::DrainReport;

#[tokio::test]
async fn a_drain_closes_what_is_idle() {
    let mut server = Server::start(hello()).await;
    let mut fresh = server.connect().await;
    let mut idle = server.connect().await;
    idle.get("/").await;
    idle.read_to("hello").await;
    server.until(|counts| counts.open == 2 && counts.in_flight == 0).await;
    server.drain.begin(LIMIT);
    assert_eq!(idle.rest().await, "");
    assert_eq!(fresh.rest().await, "");
    drop((fresh, idle));
    assert_eq!(server.drained().await, DrainReport { finished: 2, aborted: 0, handed_off: 0 });
}

#[tokio::test]
async fn a_drain_answers_those_who_have_just_connected() {
    let mut server = Server::start(hello()).await;
    let mut client = server.connect().await;
    let http2 = server.connect().await;
    server.until(|counts| counts.open == 2).await;
    server.drain.begin(LIMIT);
    // The drain has been seen when the listener is left.
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.get("/").await;
    let answer = client.rest().await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer:?}");
    let mut http2 = http2_on(http2).await;
    let answer = http2.send_request(request("/")).await.expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "hello");
    drop(client);
    // The HTTP/2 client has received GOAWAY.
    assert_eq!(server.drained().await, DrainReport { finished: 2, handed_off: 0, aborted: 0 });
}

#[tokio::test]
async fn a_drain_lets_busy_connections_finish() {
    let go = Arc::new(Notify::new());
    let mut server = Server::start(slow(&go)).await;
    let mut client = server.connect().await;
    client.get("/slow").await;
    server.until(|counts| counts.in_flight == 1).await;
    server.drain.begin(LIMIT);
    go.notify_one();
    let answer = client.rest().await;
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer:?}");
    drop(client);
    assert_eq!(server.drained().await, DrainReport { finished: 1, aborted: 0, handed_off: 0 });
}

#[tokio::test]
async fn a_drain_answers_requests_that_have_begun() {
    let mut server = Server::start(hello()).await;
    let mut first = server.connect().await;
    first.send("GET / HT").await;
    let mut later = server.connect().await;
    later.get("/").await;
    later.read_to("hello").await;
    later.send("GET / HT").await;
    // The half head came with the request before it, so that only hyper knows of it.
    let mut pipelined = server.connect().await;
    pipelined.send("GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HT").await;
    pipelined.read_to("hello").await;
    server.until(|counts| counts.requests == 2 && counts.in_flight == 0 && counts.open == 3).await;
    // What the clients have sent must have been read; on loopback it is there when `send` returns.
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.drain.begin(LIMIT);
    tokio::time::sleep(Duration::from_millis(50)).await;
    for mut client in [first, later, pipelined] {
        client.send("TP/1.1\r\nhost: x\r\n\r\n").await;
        let answer = client.rest().await;
        assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer:?}");
    }
    assert_eq!(server.drained().await, DrainReport { finished: 3, aborted: 0, handed_off: 0 });
}

#[tokio::test]
async fn the_deadline_cuts() {
    let go = Arc::new(Notify::new());
    let mut server = Server::start(slow(&go)).await;
    let mut client = server.connect().await;
    client.get("/slow").await;
    let mut half = server.connect().await;
    half.send("GET").await;
    server.until(|counts| counts.in_flight == 1 && counts.open == 2).await;
    let begun = Instant::now();
    server.drain.begin(Duration::from_millis(200));
    assert_eq!(server.drained().await.aborted, 2);
    assert!(begun.elapsed() >= Duration::from_millis(190));
    server.until(|counts| counts.open == 0 && counts.in_flight == 0).await;
}
