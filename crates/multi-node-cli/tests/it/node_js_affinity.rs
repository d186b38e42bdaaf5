//! Node.js programs that are not changed, with `--affinity`: one node answers all requests of a client, on whichever connection they come.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use multi_node_it::client::Client;
use multi_node_it::{needs, send, within};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::command::{Running, app};

const NODES: usize = 3;

/// Clients that a server knows.
const CLIENTS: usize = 24;

/// How a request says of which client it is.
type Ask = fn(usize) -> String;

fn by_cookie(client: usize) -> String {
    format!("GET /{client} HTTP/1.1\r\nhost: a\r\ncookie: a=b; sid=user-{client}; c=d\r\n\r\n")
}

fn by_query(client: usize) -> String {
    format!("GET /?EIO=4&sid=user-{client}&t=1 HTTP/1.1\r\nhost: a\r\n\r\n")
}

fn by_header(client: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nX-USER:  user-{client} \r\n\r\n")
}

async fn start(node: &str, options: &[&str]) -> (Running, SocketAddr) {
    let (nodes, program) = (NODES.to_string(), app("owned.js"));
    Running::serving(&[&["-n", &nodes, "--settle", "100ms"], options, &["--", node, &program]].concat(), NODES).await
}

/// The process that answers this request, and the rest of what it says.
async fn answer(connection: &mut Client, request: &str) -> (u32, String) {
    connection.send(request).await.expect("sent");
    let answer = connection.answer().await.unwrap_or_else(|error| panic!("{request:?}: {error:#}"));
    said(&answer.body)
}

fn said(text: &str) -> (u32, String) {
    let (pid, rest) = text.split_once(' ').unwrap_or_else(|| panic!("{text:?}"));
    (pid.parse().expect("a pid"), rest.to_owned())
}

/// Who answers each client on this connection.
async fn answered_by(connection: &mut Client, ask: Ask) -> BTreeMap<usize, u32> {
    let mut by = BTreeMap::new();
    for client in 0..CLIENTS {
        by.insert(client, answer(connection, &ask(client)).await.0);
    }
    by
}

/// Who answers each client, once it is the same on new connections, and on kept ones that mix clients.
async fn owners(addr: SocketAddr, ask: Ask) -> BTreeMap<usize, u32> {
    loop {
        let mut seen = BTreeSet::new();
        for _ in 0..2 * NODES {
            let mut kept = Client::connect(addr).await.expect("a connection");
            seen.insert(answered_by(&mut kept, ask).await);
        }
        let mut new = BTreeMap::new();
        for client in 0..CLIENTS {
            let mut connection = Client::connect(addr).await.expect("a connection");
            new.insert(client, answer(&mut connection, &ask(client)).await.0);
        }
        seen.insert(new);
        if let (1, Some(owners)) = (seen.len(), seen.pop_first()) {
            return owners;
        }
    }
}

/// The first client that another process owns than this one.
fn other_than(owners: &BTreeMap<usize, u32>, client: usize) -> usize {
    *owners.iter().find(|(_, pid)| **pid != owners[&client]).expect("several own").0
}

/// One node answers all requests of a client, whatever their form.
pub(crate) async fn keeps_clients(node: &str) {
    let (running, addr) = start(node, &["--affinity", "cookie=sid"]).await;
    let owners = owners(addr, by_cookie).await;
    assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), NODES, "each node has some: {owners:?}");
    let mut kept = Client::connect(addr).await.expect("a connection");
    for size in [0, 10, 20_000, 60_000, 300_000] {
        bodies_move(&mut kept, &owners, size).await;
    }
    // A request that comes while the last answer is written is answered where it is.
    let mut kept = Client::connect(addr).await.expect("a connection");
    parts_move(&mut kept, &owners).await;
    pipelined_stay(&mut kept, &owners).await;
    upgrades_move(addr, &owners).await;
    assert_eq!(running.stop().await, Some(0));
}

/// Bodies of this size move with their heads, as far as they were read with them. Those that are large at once stay.
async fn bodies_move(kept: &mut Client, owners: &BTreeMap<usize, u32>, size: usize) {
    for (client, owner) in owners {
        let body = "\u{1}x".repeat(size / 2);
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncookie: sid=user-{client}\r\ncontent-length: {size}\r\n\r\n");
        let (pid, echoed) = answer(kept, &(head + &body)).await;
        assert_eq!(echoed.len(), size, "of {client}");
        assert!(echoed == body && (pid == *owner || size > 60_000), "{size} bytes of {client}");
    }
}

/// A head in two parts, and a body behind its head.
async fn parts_move(kept: &mut Client, owners: &BTreeMap<usize, u32>) {
    for (client, owner) in owners {
        let begun = std::time::Instant::now();
        for part in ["POS", "T / HTTP/1.1\r\nhost: a\r\ncoo", "kie: sid=us"] {
            kept.send(part).await.expect("sent");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        kept.send(&format!("er-{client}\r\ncontent-length: 8\r\n\r\n")).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
        kept.send("the ").await.expect("sent");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let answer = answer(kept, "body").await;
        assert_eq!(
            answer,
            (*owner, "the body".to_owned()),
            "client {client}, {:?} after its first part",
            begun.elapsed()
        );
    }
}

/// What comes behind a request is answered where that is.
async fn pipelined_stay(kept: &mut Client, owners: &BTreeMap<usize, u32>) {
    let second = other_than(owners, 0);
    kept.send(&(by_cookie(0) + &by_cookie(second))).await.expect("sent");
    for client in [0, second] {
        let text = kept.answer().await.expect("an answer").body;
        assert_eq!(said(&text), (owners[&0], format!("/{client}")));
    }
    assert_eq!(answer(kept, &by_cookie(second)).await.0, owners[&second], "between two requests it moves again");
}

/// A WebSocket is at its client's node, on a connection that another client has used before.
async fn upgrades_move(addr: SocketAddr, owners: &BTreeMap<usize, u32>) {
    for client in 0..CLIENTS {
        let mut stream = TcpStream::connect(addr).await.expect("a connection");
        let request = by_cookie(other_than(owners, client));
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = Vec::new();
        while !text.windows(4).any(|end| end == b"\r\n\r\n") || !text.ends_with(b"/0") && text.len() < 20 {
            assert_ne!(stream.read_buf(&mut text).await.expect("readable"), 0);
        }
        // The answer's body may come behind its head.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let upgrade = by_cookie(client).replace("\r\n\r\n", "\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
        stream.write_all(upgrade.as_bytes()).await.expect("sent");
        let expected = format!("{} ", owners[&client]);
        text.clear();
        while !String::from_utf8_lossy(&text).contains(&expected) {
            assert_ne!(stream.read_buf(&mut text).await.expect("readable"), 0, "not at {expected}: {text:?}");
        }
        stream.write_all(b"and back").await.expect("sent");
        while !text.ends_with(b"and back") {
            assert_ne!(stream.read_buf(&mut text).await.expect("readable"), 0);
        }
    }
}

#[tokio::test]
async fn each_client_has_one_node_on_connections_that_mix_clients() {
    if needs::program("node") {
        within(60, keeps_clients("node")).await;
    }
}

#[tokio::test]
async fn queries_headers_and_addresses_name_clients_too() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let cases: [(&str, Ask, usize); 3] =
            [("query=sid", by_query, NODES), ("header=x-user", by_header, NODES), ("client-address", by_cookie, 1)];
        for (affinity, ask, owning) in cases {
            let (running, addr) = start("node", &["--affinity", affinity]).await;
            let owners = owners(addr, ask).await;
            assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), owning, "{affinity}: {owners:?}");
            assert_eq!(running.stop().await, Some(0));
        }
    })
    .await;
}

/// Clients that ask on kept connections, as a proxy does, until they are stopped.
struct Load {
    goes_on: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    fn start(addr: SocketAddr) -> Load {
        let goes_on = Arc::new(AtomicBool::new(true));
        let client = |first: usize| {
            let goes_on = goes_on.clone();
            tokio::spawn(async move {
                let (mut connection, mut answers) = (Client::connect(addr).await.expect("a connection"), 0);
                while goes_on.load(Ordering::Relaxed) {
                    let client = (first + answers * 7) % CLIENTS;
                    assert_eq!(answer(&mut connection, &by_cookie(client)).await.1, format!("/{client}"));
                    answers += 1;
                }
                answers
            })
        };
        Load { clients: (0..8).map(client).collect(), goes_on }
    }

    /// How many answers there were. Each was the right one.
    async fn stop(self) -> usize {
        self.goes_on.store(false, Ordering::Relaxed);
        let mut answers = 0;
        for client in self.clients {
            answers += client.await.expect("no request is lost");
        }
        answers
    }
}

#[tokio::test]
async fn reloads_and_upgrades_lose_no_request_and_move_each_client_to_one_new_node() {
    if !needs::program("node") {
        return;
    }
    within(90, async {
        let (running, addr) = start("node", &["--affinity", "cookie=sid"]).await;
        let before = owners(addr, by_cookie).await;
        for change in ["reload", "upgrade", "reload"] {
            let load = Load::start(addr);
            let args = if change == "reload" { &["reload", "--wait"][..] } else { &["upgrade"] };
            let output = running.command(args).await;
            assert_eq!(output.status.code(), Some(0), "{change}: {output:?}");
            println!("{change}: {} answers", load.stop().await);
        }
        let after = owners(addr, by_cookie).await;
        let slots = |owners: &BTreeMap<usize, u32>| {
            let groups: BTreeMap<u32, Vec<usize>> = owners.iter().fold(BTreeMap::new(), |mut groups, (client, pid)| {
                groups.entry(*pid).or_insert_with(Vec::new).push(*client);
                groups
            });
            groups.into_values().collect::<BTreeSet<_>>()
        };
        assert_eq!(slots(&before), slots(&after), "those that shared a node share one still");
        assert!(before.values().all(|pid| !after.values().any(|new| new == pid)), "all are new");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn the_clients_of_a_killed_node_are_answered_by_others() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (mut running, addr) = start("node", &["--affinity", "cookie=sid"]).await;
        let before = owners(addr, by_cookie).await;
        // A connection that is at another node.
        let mut kept = Client::connect(addr).await.expect("a connection");
        answer(&mut kept, &by_cookie(other_than(&before, 0))).await;
        send(before[&0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        assert_ne!(answer(&mut kept, &by_cookie(0)).await.0, before[&0]);
        running.ready(1).await;
        let after = owners(addr, by_cookie).await;
        let same = before.iter().filter(|(_, pid)| **pid != before[&0]).all(|(client, pid)| after[client] == *pid);
        assert!(same && after[&0] != before[&0], "{before:?} {after:?}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_answered_where_it_is() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (running, addr) = start("node", &["--affinity", "cookie=sid"]).await;
        let owners = owners(addr, by_cookie).await;
        let mut kept = Client::connect(addr).await.expect("a connection");
        let second = other_than(&owners, 0);
        answer(&mut kept, &by_cookie(0)).await;
        let request = by_cookie(second);
        kept.send(&request[..20]).await.expect("sent");
        // The wait for a head is one of a second.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(answer(&mut kept, &request[20..]).await, (owners[&0], format!("/{second}")));
        assert_eq!(answer(&mut kept, &request).await.0, owners[&second]);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn without_the_preload_the_first_request_decides_and_a_warning_says_so() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let program = app("owned.js");
        let args = ["-n", "3", "--affinity", "cookie=sid", "--no-preload", "--", "node", &program];
        let mut running = Running::start(&args);
        let addr = running.addr().await;
        running.ready(3).await;
        let said = running.seen.iter().filter(|line| line.contains("--affinity holds for the first request")).count();
        assert_eq!(said, 1, "{:?}", running.seen);
        let mut first = BTreeSet::new();
        for _ in 0..8 {
            let mut connection = Client::connect(addr).await.expect("a connection");
            let pid = answer(&mut connection, &by_cookie(1)).await.0;
            first.insert(pid);
            assert_eq!(
                answered_by(&mut connection, by_cookie).await.into_values().collect::<BTreeSet<_>>(),
                [pid].into()
            );
        }
        assert_eq!(first.len(), 1, "new connections go to the owner of their first request");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
