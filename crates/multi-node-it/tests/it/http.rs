//! What `http` does with connections, requests and their bodies.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use multi_node_it::program::send;
use multi_node_it::routes::piece;
use multi_node_it::{Client, HttpPlan, Plan, Program, within};
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// So much is more than all buffers on its way hold.
const LARGE: usize = 16 << 20;

fn with_http(http: HttpPlan) -> Plan {
    Plan { http, ..Plan::nodes(1) }
}

#[tokio::test]
async fn a_connection_is_kept_and_its_requests_may_be_pipelined() {
    within(30, async {
        let program = Program::serving(Plan::nodes(2)).await;
        let mut client = Client::connect(program.addr).await.expect("a connection");
        let first = client.get("/").await.expect("an answer");
        assert_eq!(client.get("/").await.expect("an answer").body, first.body);
        let asks = ["/sleep/20", "/", "/sleep/1"].map(|path| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        client.send(&asks.concat()).await.expect("sent");
        let mut said = Vec::new();
        for _ in asks {
            said.push(client.answer().await.expect("an answer").body);
        }
        assert_eq!(said, ["slept 20\n", &first.body, "slept 1\n"]);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_knows_its_client_and_its_process() {
    within(30, async {
        let program = Program::serving(Plan::nodes(1)).await;
        let mut client = Client::connect(program.addr).await.expect("a connection");
        let local = client.local.expect("TCP").to_string();
        let who = client.get("/who").await.expect("an answer").json();
        assert_eq!(who["connect_info"], json!(local));
        assert_eq!(who["ends"], json!([local, program.addr.to_string()]));
        assert_eq!(who["id"], json!("node-1"));
        program.stop().await;
    })
    .await;
}

async fn over_http2(addr: SocketAddr) -> anyhow::Result<http2::SendRequest<Body>> {
    let io = TokioIo::new(TcpStream::connect(addr).await?);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
    // Its end is seen by the requests.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn get_http2(mut sender: http2::SendRequest<Body>, path: &str) -> anyhow::Result<Bytes> {
    let request = Request::get(format!("http://test{path}")).body(Body::empty())?;
    Ok(sender.send_request(request).await?.into_body().collect().await?.to_bytes())
}

#[tokio::test]
async fn http2_answers_side_by_side_and_drains() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let sender = over_http2(program.addr).await.expect("a connection");
        let who = get_http2(sender.clone(), "/who").await.expect("an answer");
        assert!(String::from_utf8_lossy(&who).contains("HTTP/2.0"), "{who:?}");

        let begun = Instant::now();
        let asked = (0..20).map(|_| get_http2(sender.clone(), "/sleep/300"));
        let answers = tokio::spawn(join_all(asked.collect::<Vec<_>>()));
        program.status_where(|s| s.slots.iter().map(|slot| slot.in_flight).sum::<u64>() == 20).await;
        program.signal(Signal::TERM);
        for answer in answers.await.expect("no panic") {
            assert_eq!(answer.expect("an answer"), "slept 300\n");
        }
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(6), "one after the other: {took:?}");
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn a_websocket_is_told_of_the_drain() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let url = format!("ws://{}/ws", program.addr);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("an upgrade");
        socket.send(Message::text("before")).await.expect("sent");
        let echo = socket.next().await.expect("an answer").expect("a frame");
        assert_eq!(echo, Message::text("before"));
        let open = program.status_where(|s| s.slots.iter().map(|slot| slot.connections).sum::<u64>() == 1).await;
        assert_eq!(open.slots.iter().map(|slot| slot.in_flight).sum::<u64>(), 0, "{open:?}");

        program.signal(Signal::TERM);
        let last = socket.next().await.expect("a last word").expect("a frame");
        assert!(last.is_close(), "{last:?}");
        // Closes the connection, so that the node need not wait for the deadline.
        while let Some(Ok(_)) = socket.next().await {}
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn websockets_are_told_one_after_the_other_where_others_serve_on() {
    within(30, async {
        let drain_timeout = Duration::from_secs(8);
        let mut program = Program::serving(Plan { drain_timeout, ..Plan::nodes(1) }).await;
        let mut ends = Vec::new();
        for _ in 0..200 {
            let url = format!("ws://{}/ws", program.addr);
            let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("an upgrade");
            ends.push(tokio::spawn(async move {
                let last = socket.next().await.expect("a last word").expect("a frame");
                assert!(last.is_close(), "{last:?}");
                let told = Instant::now();
                while let Some(Ok(_)) = socket.next().await {}
                told
            }));
        }
        let answer = program.command("reload").await;
        assert_eq!(answer["Ok"]["slots"][0]["aborted"], 0, "{answer}");
        let mut told = Vec::new();
        for end in ends {
            told.push(end.await.expect("it was told"));
        }
        // They are 10 ms apart.
        let (first, last) = (told.iter().min().expect("many"), told.iter().max().expect("many"));
        let spread = *last - *first;
        assert!((Duration::from_secs(1)..drain_timeout / 2).contains(&spread), "all were told within {spread:?}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn large_bodies_go_both_ways() {
    within(30, async {
        let program = Program::serving(Plan::nodes(1)).await;
        let io = TokioIo::new(TcpStream::connect(program.addr).await.expect("a connection"));
        let (mut sender, connection) = http1::handshake(io).await.expect("a connection");
        tokio::spawn(async move { drop(connection.await) });

        let body = piece(0..LARGE);
        for path in ["/echo", "/bytes"] {
            let request = match path {
                "/echo" => Request::post("/echo").header("host", "test").body(Body::from(body.clone())),
                _ => Request::get(format!("/bytes/{LARGE}")).header("host", "test").body(Body::empty()),
            };
            let request = request.expect("a request");
            let answer = sender.send_request(request).await.expect("an answer");
            let received = answer.into_body().collect().await.expect("a whole body").to_bytes();
            assert!(received == body, "{path}: {} bytes came of {LARGE}, or others", received.len());
        }
        drop(sender);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_slow_head_times_out_and_an_idle_connection_does_not() {
    within(30, async {
        let header_timeout = Duration::from_millis(200);
        let program = Program::serving(with_http(HttpPlan { header_timeout, ..HttpPlan::default() })).await;
        let mut idle = Client::connect(program.addr).await.expect("a connection");
        idle.get("/").await.expect("an answer");
        let mut slow = Client::connect(program.addr).await.expect("a connection");
        slow.get("/").await.expect("an answer");
        let begun = Instant::now();
        slow.send("GET / HTTP/1.1\r\nhost:").await.expect("sent");
        assert_eq!(slow.rest().await.expect("an end"), "");
        assert!(begun.elapsed() >= header_timeout, "{:?}", begun.elapsed());
        // It has been idle for longer than that.
        idle.get("/").await.expect("an answer");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_ends_at_its_own_time() {
    within(30, async {
        let (header_timeout, keep_alive_timeout) = (Duration::from_millis(50), Duration::from_millis(400));
        let http = HttpPlan { header_timeout, keep_alive_timeout, ..HttpPlan::default() };
        let program = Program::serving(with_http(http)).await;
        let mut fresh = Client::connect(program.addr).await.expect("a connection");
        let mut used = Client::connect(program.addr).await.expect("a connection");
        let begun = Instant::now();
        // A request that takes longer than the timeout is no idleness.
        used.get("/sleep/600").await.expect("an answer");
        assert_eq!(used.rest().await.expect("an end"), "");
        assert!(begun.elapsed() >= keep_alive_timeout + Duration::from_millis(600), "{:?}", begun.elapsed());
        assert_eq!(fresh.rest().await.expect("an end"), "");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    within(30, async {
        let mut program =
            Program::serving(with_http(HttpPlan { max_connections: Some(2), ..HttpPlan::default() })).await;
        let mut held = join_all((0..2).map(|_| Client::connect(program.addr))).await;
        for client in held.iter_mut().flatten() {
            client.get("/").await.expect("an answer");
        }
        let mut third = Client::connect(program.addr).await.expect("a place in the queue");
        third.ask("/").await.expect("sent");
        // Only the passing time shows that the client waits.
        let early = tokio::time::timeout(Duration::from_millis(200), third.answer()).await;
        assert!(early.is_err(), "{early:?}");
        assert_eq!(program.status().await.slots[0].connections, 2);
        held.pop();
        assert_eq!(third.answer().await.expect("an answer").status, 200);
        drop((held, third));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_proxy_tells_the_clients_address() {
    within(30, async {
        let program = Program::serving(with_http(HttpPlan { proxy_protocol: true, ..HttpPlan::default() })).await;
        let mut client = Client::connect(program.addr).await.expect("a connection");
        client.send("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n").await.expect("sent");
        for _ in 0..2 {
            let who = client.get("/who").await.expect("an answer").json();
            assert_eq!(who["connect_info"], json!("192.0.2.1:56324"));
            assert_eq!(who["ends"], json!(["192.0.2.1:56324", "192.0.2.2:443"]));
        }
        let mut without = Client::connect(program.addr).await.expect("a connection");
        without.ask("/who").await.expect("sent");
        assert_eq!(without.rest().await.expect("an end"), "");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_panic_costs_its_own_connection_only() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let mut other = Client::connect(program.addr).await.expect("a connection");
        let pid = other.get("/").await.expect("an answer").pid();
        let mut client = Client::connect(program.addr).await.expect("a connection");
        client.ask("/panic").await.expect("sent");
        assert_eq!(client.rest().await.expect("an end"), "");
        assert_eq!(other.get("/").await.expect("an answer").pid(), pid);

        let sender = over_http2(program.addr).await.expect("a connection");
        assert!(get_http2(sender.clone(), "/panic").await.is_err());
        assert!(get_http2(sender, "/").await.is_ok(), "with HTTP/2 it costs its stream only");

        drop(other);
        let status = program.status_where(|s| s.slots[0].connections == 0).await;
        assert_eq!((status.slots[0].in_flight, status.slots[0].restarts), (0, 0), "{status:?}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn counters_become_true() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = Client::connect(program.addr).await.expect("a connection");
            for _ in 0..3 {
                client.get("/").await.expect("an answer");
            }
            clients.push(client);
        }
        clients[0].ask("/sleep/300").await.expect("sent");
        let sums = |s: &multi_node::Status| {
            s.slots.iter().fold([0; 3], |[c, r, f], s| [c + s.connections, r + s.requests, f + s.in_flight])
        };
        program.status_where(|s| sums(s) == [4, 13, 1]).await;
        clients[0].answer().await.expect("an answer");
        program.status_where(|s| sums(s) == [4, 13, 0]).await;
        drop(clients);
        program.status_where(|s| sums(s) == [0, 13, 0]).await;
        // From a node's view it is the same, but for the request that asks.
        let seen = program.get("/order/status").await.expect("an answer").json();
        let requests: u64 =
            seen["slots"].as_array().expect("slots").iter().filter_map(|s| s["requests"].as_u64()).sum();
        assert_eq!(requests, 14, "{seen}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn requests_never_go_backwards_over_a_kill() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        for _ in 0..20 {
            program.get("/").await.expect("an answer");
        }
        let before = program.status().await;
        for slot in &before.slots {
            assert!(slot.requests > 0, "{before:?}");
            send(slot.pid.expect("it serves"), Signal::KILL);
        }
        let counts = |s: &multi_node::Status| s.slots.iter().map(|slot| slot.requests).collect::<Vec<_>>();
        let mut last = counts(&before);
        loop {
            let status = program.status().await;
            let now = counts(&status);
            assert!(now.iter().zip(&last).all(|(now, last)| now >= last), "{last:?}, then {now:?}");
            last = now;
            if status.is_ready() && status.slots.iter().all(|slot| slot.restarts == 1) {
                break;
            }
        }
        assert_eq!(last.iter().sum::<u64>(), 20);
        program.get("/").await.expect("an answer");
        program.status_where(|s| counts(s).iter().sum::<u64>() == 21).await;
        program.stop().await;
    })
    .await;
}
