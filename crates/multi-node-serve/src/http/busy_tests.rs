//! Connections that another process takes while this one computes. The tests run in the server's only thread, so that without an await they
//! are what makes it late.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::loopback::{Client, Server, hello};
use crate::busy_handoff::{BusyHandoff, ClaimedConn, Seen};
use crate::{Http, Place, http};

/// A server, and the list of its connections that others may take.
struct Busy {
    server: Server,
    list: Arc<BusyHandoff>,
}

impl Busy {
    async fn start(server: Http<axum::Router, crate::Here>) -> Busy {
        let (sender, mut idle_conns) = mpsc::channel(1);
        tokio::spawn(async move { while idle_conns.recv().await.is_some() {} });
        let mut list = None;
        let server = Server::start_at(server, |load| {
            let busy_handoff = BusyHandoff::of_runtime(load.line(0).expect("it has one"));
            list.clone_from(&busy_handoff);
            Place { handoff_sender: Some(sender), busy_handoff, ..Place::new(load, 0) }
        });
        Busy { server: server.await, list: list.expect("it has a place") }
    }

    /// A connection that rests, and has answered this request.
    async fn after(&self, request: &str) -> Client {
        let mut client = self.server.connect().await;
        client.send(request).await;
        client.read_to("hello").await;
        settle().await;
        client
    }

    async fn idle(&self) -> Client {
        self.after(GET).await
    }

    fn claim(&self) -> Vec<ClaimedConn> {
        self.list.claim(64)
    }

    fn claim_one(&self) -> ClaimedConn {
        self.claim().pop().expect("a request waits")
    }
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Lets the server do all that it can.
async fn settle() {
    sleep(Duration::from_millis(2)).await;
}

/// Writes while the server has no turn.
fn send_now(client: &Client, text: &str) {
    assert_eq!(client.0.try_write(text.as_bytes()).expect("it has room"), text.len());
}

/// The other process: reads the request that waits, and answers it.
fn answer(conn: &ClaimedConn, text: &str) -> std::net::TcpStream {
    let socket = conn.idle_conn().socket().try_clone_to_owned().expect("a descriptor");
    let mut socket = std::net::TcpStream::from(socket);
    let mut request = [0; 1024];
    let count = socket.read(&mut request).expect("it waits");
    assert_eq!(&request[..count], GET.as_bytes());
    write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).expect("it is open");
    socket
}

#[tokio::test]
async fn another_process_answers_what_waits_while_this_one_computes() {
    let busy = Busy::start(hello()).await;
    let mut client = busy.idle().await;
    assert!(busy.claim().is_empty(), "nothing waits");
    send_now(&client, GET);
    let conn = busy.claim_one();
    assert!(busy.claim().is_empty(), "it is taken once");
    let other = answer(&conn, "from elsewhere");
    conn.given();
    client.read_to("from elsewhere").await;
    busy.server.until(|counts| counts.open == 0).await;
    assert_eq!(busy.list.taken(), 1);
    // It was dropped here without an end.
    (&other).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmore").expect("it is open");
    client.read_to("more").await;
    drop(other);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn what_nobody_takes_is_answered_here_and_its_task_reads_nothing_before() {
    let busy = Busy::start(hello()).await;
    let mut client = busy.idle().await;
    for _ in 0..3 {
        send_now(&client, GET);
        let conn = busy.claim_one();
        settle().await;
        let waits = conn.idle_conn().socket();
        assert!(multi_node_sys::socket::is_readable(waits), "its task leaves it alone");
        drop(conn);
        client.read_to("hello").await;
        settle().await;
    }
    assert_eq!((busy.server.counts().requests, busy.list.taken()), (4, 0));
}

#[tokio::test]
async fn each_claim_takes_as_many_as_it_may_and_others_wait() {
    let busy = Busy::start(hello()).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(busy.idle().await);
    }
    clients.iter().for_each(|client| send_now(client, GET));
    let first = busy.list.claim(3);
    let second = busy.list.claim(3);
    assert_eq!((first.len(), second.len()), (3, 2));
    drop((first, second));
    for client in &mut clients {
        client.read_to("hello").await;
    }
}

#[tokio::test]
async fn one_of_which_something_was_read_or_is_under_way_is_not_taken() {
    let busy = Busy::start(hello()).await;
    let new = busy.server.connect().await;
    settle().await;
    send_now(&new, GET);
    assert!(busy.claim().is_empty(), "a new one has shown nothing yet");

    let mut begun = busy.idle().await;
    begun.send("GET / HTTP/1.1\r\n").await;
    settle().await;
    send_now(&begun, "host: x\r\n\r\n");
    assert!(busy.claim().is_empty(), "a part of the head was read");
    begun.read_to("hello").await;

    let with_body = busy.after("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n\r\n\r\n").await;
    send_now(&with_body, GET);
    assert!(busy.claim().is_empty(), "what is behind a body is not known");

    let mut closing = busy.after("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(busy.claim().is_empty());
    assert_eq!(closing.rest().await, "");
}

#[tokio::test]
async fn in_a_drain_connections_go_by_the_drain_alone() {
    let busy = Busy::start(hello()).await;
    let client = busy.idle().await;
    busy.server.drain.begin(Duration::from_secs(5));
    settle().await;
    send_now(&client, GET);
    assert!(busy.claim().is_empty());
}

#[tokio::test]
async fn a_client_that_is_gone_is_given_back_or_ends_here() {
    let busy = Busy::start(hello()).await;
    let client = busy.idle().await;
    drop(client);
    drop(busy.claim());
    busy.server.until(|counts| counts.open == 0).await;
    assert!(busy.claim().is_empty());
}

#[tokio::test]
async fn a_late_runtime_is_seen_by_what_waits_for_it() {
    let busy = Busy::start(hello()).await;
    let mut watch = busy.list.watch_runtime().expect("it has one thread");
    let client = busy.idle().await;
    watch.look();
    assert_eq!(watch.look(), Seen::Idle);
    assert!(!busy.list.is_late());
    send_now(&client, GET);
    assert_eq!((watch.look(), watch.look()), (Seen::Waits, Seen::Late));
    assert!(busy.list.is_late());
    settle().await;
    assert_eq!((watch.look(), watch.look()), (Seen::Runs, Seen::Idle));
    assert!(!busy.list.is_late());
    let waiting = tokio::spawn({
        let list = busy.list.clone();
        async move { list.request_begins().await }
    });
    settle().await;
    assert!(!waiting.is_finished());
    drop(busy.idle().await);
    waiting.await.expect("it is woken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_of_several_threads_is_not_looked_at() {
    let line = crate::LoadTable::local().line(0).expect("it has one");
    assert!(BusyHandoff::of_runtime(line).is_none());
}

/// Requests that hyper may get in any pieces.
const REQUESTS: [&str; 4] = [
    "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\nab\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
];

/// Sends these requests in pieces that end at these places. Whenever the server has done what it can, another process looks for what it can
/// take: nothing if a part of a request was read, but for empty lines before it.
async fn in_pieces(requests: Vec<usize>, mut cuts: Vec<usize>) {
    let app = axum::Router::new().route("/", axum::routing::any(|_: bytes::Bytes| async { "hello" }));
    let busy = Busy::start(http(app)).await;
    let client = busy.server.connect().await;
    let heads: Vec<&str> = requests.iter().map(|request| REQUESTS[*request]).collect();
    let (text, mut begins) = (heads.concat(), vec![0]);
    heads.iter().for_each(|head| begins.push(begins.last().expect("one") + head.len()));
    cuts.iter_mut().for_each(|cut| *cut %= text.len());
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    for piece in cuts.windows(2) {
        send_now(&client, &text[piece[0]..piece[1]]);
        for conn in busy.claim() {
            let at = piece[0];
            let is_empty = |begin: usize| text[begin..at].bytes().all(|byte| matches!(byte, b'\r' | b'\n'));
            let at_begin = begins.iter().any(|begin| *begin <= at && is_empty(*begin));
            assert!(at_begin, "taken at {at} of {text:?}, of which a part was read");
            drop(conn);
        }
        settle().await;
    }
    busy.server.until(|counts| counts.requests == requests.len() as u64 && counts.in_flight == 0).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn nothing_of_a_request_was_read_where_its_connection_is_taken(
        requests in prop::collection::vec(0..REQUESTS.len(), 1..6), cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(in_pieces(requests, cuts));
    }
}
