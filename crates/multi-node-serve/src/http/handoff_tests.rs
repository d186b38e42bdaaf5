//! Connections that go from one server to another, both in this process, over a hand-off stream that is a task of the test.

mod ends;
mod half_close;
mod races;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::loopback::{Client, LIMIT, Server};
use crate::load::Counts;
use crate::serving::DrainReport;
use crate::{HandoffReceiver, Here, Http, IdleConn, http};

/// How many connections may wait for the hand-off stream: few, so that tests with many wait for room.
const ROOM: usize = 4;

/// Two servers, and what carries connections from the first to the second.
struct Pair {
    from: Server,
    to: Server,
    handoff: JoinHandle<Carried>,
}

/// What the hand-off stream has done.
#[derive(Debug, Default, PartialEq)]
struct Carried {
    taken: u64,
    refused: u64,
}

impl Pair {
    async fn start(from: Http<Router, Here>, to: Http<Router, Here>) -> Pair {
        let (handoff_sender, idle_conns) = mpsc::channel(ROOM);
        let (from, to) = (Server::start_with(from, Some(handoff_sender)).await, Server::start_with(to, None).await);
        let handoff = tokio::spawn(carry(idle_conns, to.serving.handoff_receiver()));
        Pair { from, to, handoff }
    }

    /// Two servers which say who they are.
    async fn named() -> Pair {
        Pair::start(named("A"), named("B")).await
    }

    fn drain(&self) {
        self.from.drain.begin(LIMIT);
    }

    /// A connection to the first server with one request behind it.
    async fn idle(&self) -> Client {
        let mut client = self.from.connect().await;
        assert_eq!(ask(&mut client, "/who").await, "A");
        client
    }

    /// What the first server's drain did, and the hand-off stream.
    async fn drained(mut self) -> (DrainReport, Carried, Server) {
        let report = self.from.drained().await;
        drop(self.from);
        let handoff = timeout(LIMIT, self.handoff).await.expect("nobody uses the handoff any more");
        let carried = handoff.expect("it does not panic");
        (report, carried, self.to)
    }
}

async fn carry(mut idle_conns: mpsc::Receiver<IdleConn>, handoff_receiver: HandoffReceiver) -> Carried {
    let mut carried = Carried::default();
    while let Some(idle_conn) = idle_conns.recv().await {
        match handoff_receiver.reserve(idle_conn.server()) {
            Some(place) => {
                place.adopt(copy(&idle_conn));
                idle_conn.given();
                carried.taken += 1;
            }
            None => {
                idle_conn.close();
                carried.refused += 1;
            }
        }
    }
    carried
}

/// The idle connection as it arrives in another process: the same socket by another descriptor, and everything else written and read.
fn copy(idle_conn: &IdleConn) -> IdleConn {
    let info = rmp_serde::to_vec_named(&idle_conn.info()).expect("it can be written");
    let info = rmp_serde::from_slice(&info).expect("and read");
    let socket = idle_conn.socket().try_clone_to_owned().expect("files are left");
    IdleConn::arrived(idle_conn.server(), socket, idle_conn.before().clone(), info)
}

fn named(name: &'static str) -> Http<Router, Here> {
    http(routes(name))
}

/// `/who` says the server's name, `/say/x` says `x` as well, `/echo` the request's body; each answer ends with a full stop.
fn routes(name: &'static str) -> Router {
    let say = move |axum::extract::Path(text): axum::extract::Path<String>| async move { format!("{name}{text}.") };
    let echo = move |body: String| async move { format!("{name}{body}.") };
    Router::new()
        .route("/who", get(move || async move { format!("{name}.") }))
        .route("/say/{text}", get(say))
        .route("/echo", post(echo))
}

/// Like [`named`], and `/slow` answers once it is notified.
fn slow(name: &'static str, go: &Arc<Notify>) -> Http<Router, Here> {
    let go = go.clone();
    let wait = move || async move {
        go.notified().await;
        format!("{name} at last.")
    };
    http(routes(name).route("/slow", get(wait)))
}

/// The body of the next answer, without its full stop. The answer must leave the connection open.
async fn answer(client: &mut Client) -> String {
    let head = client.read_to("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && !head.contains("connection: close"), "{head:?}");
    client.read_to(".").await.trim_end_matches('.').to_owned()
}

async fn ask(client: &mut Client, path: &str) -> String {
    client.get(path).await;
    answer(client).await
}

/// What a drain reports that has handed off all connections.
fn all_given(handed_off: u64) -> DrainReport {
    DrainReport { handed_off, ..DrainReport::default() }
}

/// Whether some epoll instance of this process watches this socket.
fn is_watched(inode: u64) -> bool {
    let wanted = format!(" ino:{inode:x} ");
    let files = std::fs::read_dir("/proc/self/fdinfo").expect("there is a /proc").flatten();
    // A file may be closed by another test meanwhile.
    let mut texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    texts.any(|text| text.lines().any(|line| line.starts_with("tfd:") && line.contains(&wanted)))
}

#[tokio::test]
async fn an_idle_connection_goes_on_elsewhere() {
    let pair = Pair::named().await;
    let mut client = pair.idle().await;
    pair.drain();
    let (report, carried, to) = pair.drained().await;
    assert_eq!((report, carried), (all_given(1), Carried { taken: 1, refused: 0 }));
    for request in 1..=3 {
        assert_eq!(ask(&mut client, "/who").await, "B");
        to.until(|counts| counts == Counts { open: 1, accepted: 0, requests: request, in_flight: 0, skipped: 0 }).await;
    }
    drop(client);
    to.until(|counts| counts.open == 0).await;
}

#[tokio::test]
async fn a_connection_that_has_sent_nothing() {
    // Some of a preface does not tell the protocol either.
    for said in ["", "P", "PRI * HTTP/2.0\r\n"] {
        let pair = Pair::named().await;
        let mut client = pair.from.connect().await;
        client.send(said).await;
        pair.from.until(|counts| counts.open == 1).await;
        pair.drain();
        let (report, _, to) = pair.drained().await;
        assert_eq!(report, all_given(1));
        to.until(|counts| counts.open == 1).await;
        match said {
            "P" => client.send("OST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi").await,
            "" => client.send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi").await,
            _ => continue,
        }
        assert_eq!(answer(&mut client).await, "Bhi");
    }
}

#[tokio::test]
async fn a_busy_connection_goes_after_its_answer() {
    let go = Arc::new(Notify::new());
    let pair = Pair::start(slow("A", &go), named("B")).await;
    let mut client = pair.from.connect().await;
    client.get("/slow").await;
    pair.from.until(|counts| counts.in_flight == 1).await;
    pair.drain();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(pair.from.counts().open, 1);
    go.notify_one();
    assert_eq!(answer(&mut client).await, "A at last");
    assert_eq!(ask(&mut client, "/who").await, "B");
    let (report, _, to) = pair.drained().await;
    assert_eq!(report, all_given(1));
    assert_eq!(to.counts(), Counts { open: 1, accepted: 0, requests: 1, in_flight: to.counts().in_flight, skipped: 0 });
}

#[tokio::test]
async fn a_thousand_idle_connections() {
    const COUNT: u64 = 1000;
    let pair = Pair::named().await;
    let mut clients = VecDeque::new();
    for _ in 0..COUNT {
        clients.push_back(pair.idle().await);
    }
    pair.from
        .until(|counts| counts == Counts { open: COUNT, accepted: COUNT, requests: COUNT, in_flight: 0, skipped: 0 })
        .await;
    pair.drain();
    // Some are under way while their clients go on.
    for mut client in clients.drain(..100).collect::<Vec<_>>() {
        let by = ask(&mut client, "/who").await;
        assert!(by == "A" || by == "B");
        clients.push_back(client);
    }
    let (report, carried, to) = pair.drained().await;
    assert_eq!((report, carried), (all_given(COUNT), Carried { taken: COUNT, refused: 0 }));
    for client in &mut clients {
        assert_eq!(ask(client, "/who").await, "B");
    }
    assert_eq!((to.counts().open, to.counts().accepted), (COUNT, 0));
    drop(clients);
    to.until(|counts| counts.open == 0 && counts.in_flight == 0).await;
}

#[tokio::test]
async fn a_idle_conn_is_watched_by_nobody() {
    use std::os::unix::fs::MetadataExt;
    let (handoff_sender, mut idle_conns) = mpsc::channel(1);
    let from = Server::start_with(named("A"), Some(handoff_sender)).await;
    let mut client = from.connect().await;
    assert_eq!(ask(&mut client, "/who").await, "A");
    from.drain.begin(LIMIT);
    let idle_conn = idle_conns.recv().await.expect("it is idle");
    let file = std::fs::File::from(idle_conn.socket().try_clone_to_owned().expect("files are left"));
    let inode = file.metadata().expect("a socket").ino();
    assert!(!is_watched(inode));
    assert_eq!(from.counts().open, 1, "it counts until it is gone");
    let to = Server::start_with(named("B"), None).await;
    to.serving.handoff_receiver().reserve(0).expect("there is room").adopt(copy(&idle_conn));
    assert_eq!(ask(&mut client, "/who").await, "B");
    assert!(is_watched(inode));
    idle_conn.given();
    from.until(|counts| counts.open == 0).await;
    assert_eq!(ask(&mut client, "/who").await, "B");
}
