//! Connections that are not handed off, those that come back, and what the receiver makes of those that come.

use std::net::SocketAddr;

use axum::extract::ws::WebSocketUpgrade;
use tokio::time::Instant;

use super::*;
use crate::ConnInfo;
use crate::Here;

/// Sends the rest of a request and reads the answer, which must say that it is the last.
async fn last_answer(client: &mut Client, rest: &str) -> String {
    client.send(rest).await;
    let text = client.rest().await;
    assert!(text.contains("connection: close"), "{text:?}");
    text.rsplit("\r\n").next().expect("a body").trim_end_matches('.').to_owned()
}

/// An idle connection and one that has sent half a head.
async fn idle_and_begun(from: &Server) -> (Client, Client) {
    let mut idle = from.connect().await;
    assert_eq!(ask(&mut idle, "/who").await, "A");
    let mut begun = from.connect().await;
    assert_eq!(ask(&mut begun, "/who").await, "A");
    begun.send("GET /say/2 HT").await;
    from.until(|counts| counts.in_flight == 0).await;
    // What was sent must have been read; on loopback it is there when `send` returns.
    tokio::time::sleep(Duration::from_millis(20)).await;
    (idle, begun)
}

const REST: &str = "TP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn connections_that_keep_state() {
    let pair = Pair::start(named("A").handoff(false), named("B")).await;
    let (mut idle, mut begun) = idle_and_begun(&pair.from).await;
    let mut fresh = pair.from.connect().await;
    pair.from.until(|counts| counts.open == 3).await;
    pair.drain();
    assert_eq!(fresh.rest().await, "");
    assert_eq!(idle.rest().await, "");
    assert_eq!(last_answer(&mut begun, REST).await, "A2");
    drop((idle, fresh, begun));
    let (report, carried, _) = pair.drained().await;
    assert_eq!(report, DrainReport { finished: 3, aborted: 0, handed_off: 0 });
    assert_eq!(carried, Carried::default());

    let keeps = Server::start_with(named("B").handoff(false), None).await;
    assert!(keeps.serving.handoff_receiver().reserve(0).is_none(), "nor does it take any");
}

#[tokio::test]
async fn nobody_receives() {
    let (handoff_sender, idle_conns) = mpsc::channel(ROOM);
    let mut from = Server::start_with(named("A"), Some(handoff_sender)).await;
    let (mut idle, mut begun) = idle_and_begun(&from).await;
    drop(idle_conns);
    from.drain.begin(LIMIT);
    assert_eq!(idle.rest().await, "");
    assert_eq!(last_answer(&mut begun, REST).await, "A2");
    drop((idle, begun));
    assert_eq!(from.drained().await, DrainReport { finished: 2, aborted: 0, handed_off: 0 });
}

/// They come back as if no hand-off had been tried: a request that has come meanwhile is answered.
#[tokio::test]
async fn nobody_takes_it() {
    let (handoff_sender, mut idle_conns) = mpsc::channel(ROOM);
    let mut from = Server::start_with(named("A"), Some(handoff_sender)).await;
    let (mut idle, mut begun) = idle_and_begun(&from).await;
    let mut late = from.connect().await;
    let mut fresh = from.connect().await;
    from.until(|counts| counts.open == 4).await;
    from.drain.begin(LIMIT);
    let mut refused = Vec::new();
    for _ in 0..4 {
        refused.push(idle_conns.recv().await.expect("all four leave"));
    }
    late.get("/say/3").await;
    for idle_conn in refused {
        idle_conn.close();
    }
    assert_eq!(idle.rest().await, "");
    assert_eq!(fresh.rest().await, "");
    assert_eq!(last_answer(&mut late, "").await, "A3");
    assert_eq!(last_answer(&mut begun, REST).await, "A2");
    drop((idle, begun, late, fresh));
    assert_eq!(from.drained().await, DrainReport { finished: 4, aborted: 0, handed_off: 0 });
    assert_eq!(from.counts().in_flight, 0);
}

#[tokio::test]
async fn a_handoff_that_takes_none_until_the_deadline() {
    let (handoff_sender, _parcels) = mpsc::channel(1);
    let mut from = Server::start_with(named("A"), Some(handoff_sender)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = from.connect().await;
        assert_eq!(ask(&mut client, "/who").await, "A");
        clients.push(client);
    }
    from.drain.begin(Duration::from_millis(200));
    let report = from.drained().await;
    // One is in the channel. The others are closed at the deadline. They and the report learn that in any order.
    assert_eq!((report.finished + report.aborted, report.handed_off), (3, 0));
    from.until(|counts| counts.open == 1).await;
}

#[tokio::test]
async fn no_more_connections_than_the_receiver_allows() {
    let pair = Pair::start(named("A"), named("B").max_connections(2)).await;
    let (mut one, mut two) = (pair.idle().await, pair.idle().await);
    let handoff_receiver = pair.to.serving.handoff_receiver();
    let (first, second) = (handoff_receiver.reserve(0).expect("free"), handoff_receiver.reserve(0).expect("free"));
    assert!(handoff_receiver.reserve(0).is_none());
    assert_eq!(pair.to.counts().open, 2, "what is promised counts");
    drop((first, second));
    assert_eq!(pair.to.counts().open, 0);

    let mut own = pair.to.connect().await;
    assert_eq!(ask(&mut own, "/who").await, "B");
    pair.drain();
    let (report, carried, to) = pair.drained().await;
    assert_eq!((report.handed_off, report.finished, carried), (1, 1, Carried { taken: 1, refused: 1 }));
    // Which of them was first is not known: the other one's end has come already.
    let taken = match timeout(Duration::from_millis(50), one.0.peek(&mut [0])).await {
        Ok(_) => &mut two,
        Err(_) => &mut one,
    };
    assert_eq!(ask(taken, "/who").await, "B");
    let mut waits = to.connect().await;
    waits.get("/who").await;
    assert_eq!(ask(&mut own, "/who").await, "B");
    assert_eq!(to.counts().accepted, 1);
    drop(own);
    assert_eq!(answer(&mut waits).await, "B");
}

#[tokio::test]
async fn whom_nothing_can_be_given() {
    let server = Server::start_with(named("B"), None).await;
    let handoff_receiver = server.serving.handoff_receiver();
    assert!(handoff_receiver.reserve(1).is_none(), "there is one server");
    server.drain.begin(LIMIT);
    assert!(handoff_receiver.reserve(0).is_none(), "it drains");
    let tcp = Server::start_with(crate::tcp(|_| async {}), None).await;
    assert!(tcp.serving.handoff_receiver().reserve(0).is_none(), "it serves no HTTP");
}

/// It was promised to be taken when the receiver did not drain yet.
#[tokio::test]
async fn a_receiver_that_drains_itself() {
    let (handoff_sender, mut idle_conns) = mpsc::channel(ROOM);
    let from = Server::start_with(named("A"), Some(handoff_sender)).await;
    let mut client = from.connect().await;
    assert_eq!(ask(&mut client, "/who").await, "A");
    let pair = Pair::named().await;
    let place = pair.from.serving.handoff_receiver().reserve(0).expect("there is room");
    from.drain.begin(LIMIT);
    let idle_conn = idle_conns.recv().await.expect("it is idle");
    pair.drain();
    tokio::time::sleep(Duration::from_millis(20)).await;
    place.adopt(copy(&idle_conn));
    idle_conn.given();
    assert_eq!(ask(&mut client, "/who").await, "B");
    assert_eq!(pair.drained().await.0, all_given(1));
}

#[tokio::test]
async fn what_has_to_be_closed_is_closed() {
    let bye = || async { ([("connection", "close")], "A bye.") };
    let go = Arc::new(Notify::new());
    let wait = {
        let go = go.clone();
        move || async move {
            go.notified().await;
            "A at last."
        }
    };
    let app = routes("A").route("/bye", get(bye)).route("/slow", get(wait));
    let pair = Pair::start(http(app), named("B")).await;
    let asks = [
        "GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET /slow HTTP/1.0\r\nhost: x\r\n\r\n",
        "GET /bye HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /slow HTTP/1.1\r\nhost: x\r\n\r\nno request at all\r\n\r\n",
    ];
    let mut clients = Vec::new();
    for ask in asks {
        let mut client = pair.from.connect().await;
        client.send(ask).await;
        clients.push(client);
    }
    pair.from.until(|counts| counts.requests == 4 && counts.in_flight <= 3).await;
    pair.drain();
    go.notify_waiters();
    for (client, part) in clients.iter_mut().zip(["A at last.", "A at last.", "A bye.", "A at last.HTTP/1.1 400 "]) {
        let text = client.rest().await;
        assert!(text.contains(part), "{text:?}");
    }
    drop(clients);
    assert_eq!(pair.drained().await.0.handed_off, 0);
}

#[tokio::test]
async fn http_1_0_that_is_kept_alive() {
    let pair = Pair::named().await;
    let mut client = pair.from.connect().await;
    let request = "GET /who HTTP/1.0\r\nhost: x\r\nconnection: keep-alive\r\n\r\n";
    client.send(request).await;
    assert!(client.read_to("A.").await.contains("connection: keep-alive"));
    pair.drain();
    assert_eq!(pair.drained().await.0, all_given(1));
}

#[tokio::test]
async fn a_client_that_is_done() {
    let go = Arc::new(Notify::new());
    let pair = Pair::start(slow("A", &go), named("B")).await;
    let mut client = pair.idle().await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.0).await.expect("it is open");
    assert_eq!(client.rest().await, "");
    pair.drain();
    assert_eq!(pair.drained().await.0, DrainReport::default());
}

#[tokio::test]
async fn timeouts_go_on_at_the_receiver() {
    let soon = Duration::from_millis(300);
    for (sent, to) in [("", named("B").keep_alive_timeout(soon)), ("GET /wh", named("B").header_timeout(soon))] {
        let pair = Pair::start(named("A"), to).await;
        let mut client = pair.idle().await;
        client.send(sent).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let begun = Instant::now();
        pair.drain();
        let (report, _, to) = pair.drained().await;
        assert_eq!(report, all_given(1));
        assert_eq!(client.rest().await, "");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(290), "{took:?} after {sent:?}");
        drop(client);
        to.until(|counts| counts.open == 0).await;
    }
}

/// Says who is connected to what.
fn ends() -> Http<Router, Here> {
    let ends = |request: axum::extract::Request| async move {
        let info = request.extensions().get::<ConnInfo>().expect("every request has it");
        format!("{}-{}!", info.peer, info.local)
    };
    http(routes("A").route("/ends", get(ends)))
}

#[tokio::test]
async fn the_receiver_knows_both_ends() {
    let pair = Pair::start(ends(), ends()).await;
    let mut client = pair.idle().await;
    let expected: (SocketAddr, SocketAddr) = (client.0.local_addr().expect("connected"), pair.from.address);
    pair.drain();
    pair.drained().await.2.until(|counts| counts.open == 1).await;
    client.get("/ends").await;
    let text = client.read_to("!").await;
    assert!(text.ends_with(&format!("{}-{}!", expected.0, expected.1)), "{text:?}");
}

#[tokio::test]
async fn a_proxy_has_told_the_client() {
    const HEADER: &str = "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
    for said in ["", "GET /end", "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1"] {
        let pair = Pair::start(ends().proxy_protocol(true), ends().proxy_protocol(true)).await;
        let mut client = pair.from.connect().await;
        // Nobody but the first server would read the rest of the header.
        client.send(&HEADER[..20]).await;
        let mut silent = pair.from.connect().await;
        pair.from.until(|counts| counts.open == 2).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        pair.drain();
        assert_eq!(silent.rest().await, "");
        drop(silent);
        client.send(format!("{}{said}", &HEADER[20..])).await;
        let (report, _, _to) = pair.drained().await;
        assert_eq!(report, DrainReport { finished: 1, aborted: 0, handed_off: 1 });
        match said.starts_with("POST") {
            true => {
                assert_eq!(answer(&mut client).await, "A1");
                client.get("/ends").await;
            }
            false => client.send(&"GET /ends HTTP/1.1\r\nhost: x\r\n\r\n"[said.len()..]).await,
        }
        let text = client.read_to("!").await;
        assert!(text.ends_with("192.0.2.1:56324-192.0.2.2:443!"), "{text:?}");
    }
}

#[tokio::test]
async fn other_protocols_stay() {
    let upgrade = |upgrade: WebSocketUpgrade| async {
        upgrade.on_upgrade(|mut socket| async move {
            while let Some(Ok(message)) = socket.recv().await {
                let _ = socket.send(message).await;
            }
        })
    };
    let pair = Pair::start(http(routes("A").route("/socket", get(upgrade))), named("B")).await;
    let mut client = pair.from.connect().await;
    let head = "GET /socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(head).await;
    assert!(client.read_to("\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    let stream = tokio::net::TcpStream::connect(pair.from.address).await.expect("it listens");
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, String>(executor, io).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = ::http::Request::get("http://x/who").body(String::new()).expect("a request");
    sender.send_request(request).await.expect("an answer");
    pair.drain();
    connection.await.expect("no panic").expect("it is told to leave");
    client.send(b"\x81\x82\0\0\0\0hi").await;
    let mut echo = [0; 4];
    tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut echo).await.expect("it lives on");
    drop(client);
    assert_eq!(pair.drained().await.0, DrainReport { finished: 2, aborted: 0, handed_off: 0 });
}

#[tokio::test]
async fn a_connection_is_for_the_server_that_it_names() {
    let (socket, _client) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let info = ConnInfo { peer: crate::Addr::Unix, local: crate::Addr::Unix };
    let idle_conn = IdleConn::arrived(3, socket.into(), bytes::Bytes::new(), info);
    assert_eq!(idle_conn.server(), 3);
    let to = Server::start(named("B")).await;
    assert!(to.serving.handoff_receiver().reserve(idle_conn.server()).is_none(), "which this process does not have");
}
