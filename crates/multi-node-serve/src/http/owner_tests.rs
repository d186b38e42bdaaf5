//! Connections that move to the owner of their next request, between two servers in this process.

use std::os::fd::OwnedFd;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::loopback::{Client, Server};
use crate::affinity::{Affinity, Key, slot_of};
use crate::owners::{MoveCounts, Mover, Owner, Owners};
use crate::{Addr, ConnInfo, HandoffReceiver, Here, Http, IdleConn, http};

/// Two servers, `A` for slot 0 and `B` for slot 1.
struct Pair {
    a: Server,
    b: Server,
    a_owners: Owners,
    b_owners: Owners,
}

impl Pair {
    async fn start() -> Pair {
        let owners = || Owners::new(Affinity::query("k"));
        let (a_owners, b_owners) = (owners(), owners());
        let a = Server::start_among(named("A"), Some(no_drain()), None, Some(a_owners.clone())).await;
        let b = Server::start_among(named("B"), Some(no_drain()), None, Some(b_owners.clone())).await;
        a_owners.set(vec![Owner::This, Owner::Other(way_to(&b))]);
        b_owners.set(vec![Owner::Other(way_to(&a)), Owner::This]);
        Pair { a, b, a_owners, b_owners }
    }

    /// How many requests have moved from `A` and from `B`.
    fn moved(&self) -> (u64, u64) {
        (self.a_owners.counts().moved, self.b_owners.counts().moved)
    }
}

/// Nobody takes connections in a drain.
fn no_drain() -> mpsc::Sender<IdleConn> {
    mpsc::channel(1).0
}

fn way_to(server: &Server) -> Mover {
    let (mover, conns) = Mover::new();
    tokio::spawn(carry(conns, server.serving.handoff_receiver()));
    mover
}

async fn carry(mut conns: mpsc::Receiver<IdleConn>, receiver: HandoffReceiver) {
    while let Some(conn) = conns.recv().await {
        let Some(reserved) = receiver.reserve(conn.server()) else {
            conn.close();
            continue;
        };
        let socket: OwnedFd = conn.socket().try_clone_to_owned().expect("files are left");
        let copy = IdleConn::arrived(conn.server(), socket, conn.before().clone(), conn.info());
        reserved.adopt(copy.for_request(conn.is_for_request()));
        conn.given();
    }
}

/// `/who` says who answers, `/echo` the body as well, and `/ignore` reads no body. Each answer ends with a full stop.
fn named(name: &'static str) -> Http<Router, Here> {
    let echo = move |body: String| async move { format!("{name}{body}.") };
    let ignore = move |_: Request| async move { format!("{name}.") };
    http(
        Router::new()
            .route("/who", get(move || async move { format!("{name}.") }))
            .route("/echo", post(echo))
            .route("/ignore", post(ignore)),
    )
}

/// A key of this slot.
fn key(slot: usize, number: usize) -> String {
    let affinity = Affinity::query("k");
    let is_of_slot = |value: &String| {
        let head = format!("GET /?k={value} HTTP/1.1\r\n");
        let Key::Is(key) = affinity.key(head.as_bytes(), &ConnInfo::new(Addr::Unix, Addr::Unix)) else { return false };
        slot_of(key, 2) == Some(slot)
    };
    (0..).map(|value: usize| value.to_string()).filter(is_of_slot).nth(number).expect("there is no end")
}

fn who(slot: usize) -> String {
    format!("GET /who?k={} HTTP/1.1\r\nhost: x\r\n\r\n", key(slot, 0))
}

async fn answer(client: &mut Client) -> String {
    let head = client.read_to("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("connection: close"), "{head:?}");
    client.read_to(".").await.trim_end_matches('.').to_owned()
}

async fn ask(client: &mut Client, request: &str) -> String {
    client.send(request).await;
    answer(client).await
}

#[tokio::test]
async fn each_request_of_a_connection_is_answered_by_its_owner() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    for slot in [1, 1, 0, 0, 1, 0] {
        assert_eq!(ask(&mut client, &who(slot)).await, ["A", "B"][slot]);
    }
    assert_eq!(pair.moved(), (2, 2));
    pair.a.until(|counts| (counts.open, counts.requests, counts.in_flight) == (1, 3, 0)).await;
    pair.b.until(|counts| (counts.open, counts.requests, counts.in_flight) == (0, 3, 0)).await;
}

#[tokio::test]
async fn a_request_without_a_key_is_answered_where_it_is() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    assert_eq!(ask(&mut client, &who(1)).await, "B");
    for path in ["/who", "/who?k=", "/who?kk=1"] {
        assert_eq!(ask(&mut client, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await, "B");
    }
    assert_eq!(pair.moved(), (1, 0));
}

#[tokio::test]
async fn a_head_that_comes_in_pieces_is_waited_for() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    for slot in [1, 0, 1] {
        for byte in who(slot).bytes() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(answer(&mut client).await, ["A", "B"][slot]);
    }
    assert_eq!(pair.moved(), (2, 1));
}

#[tokio::test]
async fn bodies_go_along_and_the_next_head_is_looked_at() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    for (slot, body) in [(1, "one"), (0, "two"), (1, "three")] {
        let (length, head) = (body.len(), format!("POST /echo?k={} HTTP/1.1\r\nhost: x\r\n", key(slot, 0)));
        let by = ["A", "B"][slot];
        let plain = format!("{head}content-length: {length}\r\n\r\n{body}");
        assert_eq!(ask(&mut client, &plain).await, format!("{by}{body}"));
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{length}\r\n{body}\r\n0\r\n\r\n");
        assert_eq!(ask(&mut client, &chunked).await, format!("{by}{body}"));
    }
    assert_eq!(pair.moved(), (2, 1));
}

#[tokio::test]
async fn a_body_that_looks_like_a_head_is_none() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    let (head, body) = (format!("POST /echo?k={} HTTP/1.1\r\nhost: x\r\n", key(0, 0)), who(1));
    client.send(format!("{head}content-length: {}\r\n\r\n", body.len())).await;
    pair.a.until(|counts| counts.in_flight == 1).await;
    client.send(&body).await;
    client.read_to(&format!("\r\n\r\nA{body}.")).await;
    assert_eq!(pair.moved(), (0, 0));
}

/// hyper may be inside that body still.
#[tokio::test]
async fn after_a_body_that_nobody_has_read_the_next_request_stays() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    let ignored = format!("POST /ignore?k={} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi", key(0, 0));
    assert_eq!(ask(&mut client, &ignored).await, "A");
    assert_eq!(ask(&mut client, &who(1)).await, "A");
    assert_eq!(ask(&mut client, &who(1)).await, "B", "the one behind it moves again");
}

#[tokio::test]
async fn requests_that_come_together_are_answered_together() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    client.send([who(0), who(1), who(0)].concat()).await;
    for _ in 0..3 {
        assert_eq!(answer(&mut client).await, "A");
    }
    client.send([who(1), who(0)].concat()).await;
    for _ in 0..2 {
        assert_eq!(answer(&mut client).await, "B", "the first decides");
    }
    // A part of the second head is in hyper when the rest comes.
    let (second, rest) = (who(0), who(1));
    client.send([who(1).as_str(), &second[..7]].concat()).await;
    assert_eq!(answer(&mut client).await, "B");
    client.send([&second[7..], &rest].concat()).await;
    answer(&mut client).await;
    answer(&mut client).await;
}

/// hyper has begun to read the second head when its end comes, together with the first bytes of the third.
#[tokio::test]
async fn the_end_of_a_head_is_not_held_back() {
    let pair = Pair::start().await;
    for ends in 1..=4 {
        let mut client = pair.a.connect().await;
        let (first, third) = (who(0), who(1));
        let (begin, end) = first.split_at(first.len() - ends);
        client.send([first.as_str(), begin].concat()).await;
        assert_eq!(answer(&mut client).await, "A");
        client.send([end, &third[..2]].concat()).await;
        assert_eq!(answer(&mut client).await, "A", "it does not wait for the third");
        client.send(&third[2..]).await;
        answer(&mut client).await;
        client.send([b"\r\n", who(1).as_bytes()].concat()).await;
        assert_eq!(answer(&mut client).await, "B", "empty lines before a head mean nothing");
    }
}

#[tokio::test]
async fn a_request_moves_once_at_most() {
    let pair = Pair::start().await;
    // Each takes the other for the owner of all.
    pair.a_owners.set(vec![Owner::Other(way_to(&pair.b))]);
    pair.b_owners.set(vec![Owner::Other(way_to(&pair.a))]);
    let mut client = pair.a.connect().await;
    for by in ["B", "A", "B"] {
        assert_eq!(ask(&mut client, &who(0)).await, by);
    }
    assert_eq!(pair.moved(), (2, 1));
}

#[tokio::test]
async fn what_the_owner_does_not_take_is_answered_where_it_is() {
    let mut pair = Pair::start().await;
    pair.b.drain.begin(super::loopback::LIMIT);
    pair.b.drained().await;
    let mut client = pair.a.connect().await;
    for _ in 0..2 {
        assert_eq!(ask(&mut client, &who(1)).await, "A");
    }
    assert_eq!(pair.a_owners.counts(), MoveCounts { refused: 2, ..MoveCounts::default() });
    // Its end is closed.
    let (mover, _) = Mover::new();
    pair.a_owners.set(vec![Owner::Missing, Owner::Other(mover)]);
    assert_eq!(ask(&mut client, &who(1)).await, "A");
    pair.a_owners.set(vec![Owner::This, Owner::Missing]);
    assert_eq!(ask(&mut client, &who(1)).await, "A");
    assert_eq!(pair.a_owners.counts(), MoveCounts { refused: 3, ..MoveCounts::default() });
}

#[tokio::test]
async fn with_too_many_moves_under_way_a_request_is_answered_where_it_is() {
    let pair = Pair::start().await;
    let (mover, mut conns) = Mover::new();
    pair.a_owners.set(vec![Owner::This, Owner::Other(mover)]);
    let (mut clients, mut waiting) = (Vec::new(), Vec::new());
    let by = loop {
        let mut client = pair.a.connect().await;
        client.send(who(1)).await;
        clients.push(client);
        let full = async {
            while pair.a_owners.counts().full == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            conn = conns.recv() => waiting.push(conn.expect("the way is open")),
            () = full => break answer(clients.last_mut().expect("one was pushed")).await,
        }
    };
    assert_eq!(by, "A");
    assert!((10..=48).contains(&waiting.len()), "{} moves were under way", waiting.len());
    waiting.into_iter().for_each(IdleConn::close);
    for client in &mut clients[..10] {
        assert_eq!(answer(client).await, "A", "they are answered once the owner has not taken them");
    }
}

/// Java's client offers h2c with each first request, and hyper keeps the service then.
#[tokio::test]
async fn an_upgrade_that_was_offered_in_vain_does_not_matter() {
    let mut pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    let offer = format!("GET /who?k={} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", key(0, 0));
    assert_eq!(ask(&mut client, &offer).await, "A");
    assert_eq!(ask(&mut client, &who(1)).await, "B");
    assert_eq!(ask(&mut client, &who(0)).await, "A");
    assert_eq!(ask(&mut client, &offer).await, "A");
    pair.b.drain.begin(super::loopback::LIMIT);
    pair.b.drained().await;
    assert_eq!(ask(&mut client, &who(1)).await, "A", "the owner does not take it");
}

#[tokio::test]
async fn what_comes_after_an_upgrade_is_no_head() {
    let owners = Owners::new(Affinity::query("k"));
    let echo = axum::routing::any(|socket: axum::extract::WebSocketUpgrade| async {
        socket.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        })
    });
    let router = http(Router::new().route("/ws", echo));
    let server = Server::start_among(router, Some(no_drain()), None, Some(owners.clone())).await;
    let (mover, mut conns) = Mover::new();
    owners.set(vec![Owner::Other(mover)]);
    let mut client = server.connect().await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert!(client.read_to("\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    // A text frame whose mask is zeros.
    let text = "GET /?k=1 HTTP/1.1\r\n";
    client.send([&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()).await;
    let mut frame = vec![0; 2 + text.len()];
    client.0.read_exact(&mut frame).await.expect("it is sent back");
    assert_eq!(&frame[2..], text.as_bytes());
    assert!(conns.try_recv().is_err());
}

#[tokio::test]
async fn a_long_head_is_given_to_hyper_whole() {
    let pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    let long = format!("GET /who?{}&k={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(20_000), key(1, 0));
    for chunk in long.as_bytes().chunks(1500) {
        client.send(chunk).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(answer(&mut client).await, "A");
    assert_eq!(ask(&mut client, &who(1)).await, "B");
}

/// The part that was held back is served by the drain's rules.
#[tokio::test]
async fn a_drain_while_a_head_is_waited_for() {
    let mut pair = Pair::start().await;
    let mut client = pair.a.connect().await;
    assert_eq!(ask(&mut client, &who(0)).await, "A");
    let request = who(1);
    client.send(&request[..9]).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    pair.a.drain.begin(super::loopback::LIMIT);
    client.send(&request[9..]).await;
    let head = client.read_to("\r\n\r\n").await;
    assert!(head.contains("connection: close"), "{head:?}");
    assert_eq!(client.rest().await, "A.");
    pair.a.drained().await;
}

#[tokio::test]
async fn a_client_that_ends_within_a_head_is_let_go() {
    let pair = Pair::start().await;
    for said in ["", "GET /who", "GET /who?k=1 HTTP/1.1\r\nhost"] {
        let mut client = pair.a.connect().await;
        client.send(said).await;
        client.end().await;
        client.rest().await;
    }
    pair.a.until(|counts| counts.open == 0).await;
    pair.b.until(|counts| counts.open == 0).await;
}
