//! Successors that the test plays: it reads the offers and answers them, or does not.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use axum::Router;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::super::message::{HandoffMessage, Offer};
use super::*;
use crate::control::{self, Reader, Skipped, Writer};
use crate::nodes::Handle;
use crate::serve::{Addr, ConnInfo, Drain, LoadTable, Place, Socket, http, start};
use crate::sys;

struct SuccessorNode {
    reader: Reader<HandoffMessage>,
    writer: Writer<HandoffMessage>,
}

impl SuccessorNode {
    fn joined(links: &mut Links, id: NodeId) -> SuccessorNode {
        let (ours, theirs) = sys::socket::pair().expect("a pair");
        links.open(id, ours, false).expect("joined");
        let (reader, writer) = control::channel(StdUnixStream::from(theirs)).expect("a channel");
        SuccessorNode { reader, writer }
    }

    async fn offered(&mut self) -> Offer {
        match timeout(2 * HOLD, self.reader.next()).await.expect("nothing is waited for any longer") {
            Ok(Some(HandoffMessage::Offer(offer))) => offer,
            other => panic!("no offer: {other:?}"),
        }
    }

    /// Takes what is offered next.
    async fn take(&mut self) {
        let Offer { number, .. } = self.offered().await;
        self.writer.send(HandoffMessage::Taken { number }).await.expect("sent");
    }

    async fn refuse(&mut self, offer: Offer, draining: bool) {
        self.writer.send(HandoffMessage::Refused { number: offer.number, draining }).await.expect("sent");
    }
}

/// A connection, and its client.
fn connection() -> (IdleConn, UnixStream) {
    let (socket, client) = StdUnixStream::pair().expect("a pair");
    client.set_nonblocking(true).expect("a socket can be");
    let info = ConnInfo::new(Addr::Unix, Addr::Unix);
    let idle_conn = IdleConn::arrived(0, OwnedFd::from(socket), Bytes::new(), info);
    (idle_conn, UnixStream::from_std(client).expect("in a runtime"))
}

fn id(number: u64) -> NodeId {
    NodeId::node(number)
}

/// A node that drains, whose only successor is offered a connection.
async fn draining() -> (Successors, Links, SuccessorNode, Offer, UnixStream) {
    let (handoff_sender, idle_conns) = mpsc::channel(1);
    let (mut successors, mut links) = (Successors::of(idle_conns), Links::new(Skipped::default(), false));
    let mut successor = SuccessorNode::joined(&mut links, id(1));
    successors.set_successors(&links, &[vec![id(1)]]);
    let (idle_conn, client) = connection();
    handoff_sender.send(idle_conn).await.expect("it is taken");
    let offer = successor.offered().await;
    (successors, links, successor, offer, client)
}

async fn closed(mut client: UnixStream) {
    assert_eq!(client.read(&mut [0]).await.expect("no reset"), 0);
}

#[tokio::test]
async fn what_a_dead_successor_did_not_take_goes_to_the_next_that_is_named() {
    let (mut successors, mut links, successor, _, client) = draining().await;
    drop(successor);
    let mut next = SuccessorNode::joined(&mut links, id(2));
    successors.set_successors(&links, &[vec![id(2)]]);
    next.take().await;
    closed(client).await;
}

#[tokio::test]
async fn a_connection_waits_for_an_successor_that_is_to_come() {
    let (handoff_sender, idle_conns) = mpsc::channel(1);
    let (mut successors, mut links) = (Successors::of(idle_conns), Links::new(Skipped::default(), false));
    successors.set_successors(&links, &[Vec::new()]);
    let (idle_conn, client) = connection();
    handoff_sender.send(idle_conn).await.expect("it is taken");
    let mut next = SuccessorNode::joined(&mut links, id(1));
    successors.set_successors(&links, &[vec![id(1)]]);
    next.take().await;
    closed(client).await;
}

#[tokio::test]
async fn what_the_successor_of_a_service_that_ends_did_not_take_is_closed() {
    let (mut successors, links, successor, offer, client) = draining().await;
    successors.set_successors(&links, &[]);
    drop((successor, offer));
    closed(client).await;
}

#[tokio::test(start_paused = true)]
async fn without_successors_the_handoff_sender_is_closed_at_once() {
    // There are none; or the only one has died.
    for ids in [vec![], vec![vec![id(9)]]] {
        let (handoff_sender, idle_conns) = mpsc::channel(1);
        let (mut successors, links) = (Successors::of(idle_conns), Links::new(Skipped::default(), false));
        let (idle_conn, client) = connection();
        handoff_sender.try_send(idle_conn).expect("there is room");
        let begun = Instant::now();
        successors.set_successors(&links, &ids);
        timeout(HOLD, handoff_sender.closed()).await.expect("it is closed");
        closed(client).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn when_there_are_no_successors_any_more_the_handoff_sender_is_closed() {
    let (handoff_sender, idle_conns) = mpsc::channel(1);
    let (mut successors, mut links) = (Successors::of(idle_conns), Links::new(Skipped::default(), false));
    let _successor = SuccessorNode::joined(&mut links, id(1));
    successors.set_successors(&links, &[vec![id(1)]]);
    let begun = Instant::now();
    successors.set_successors(&links, &[]);
    timeout(HOLD, handoff_sender.closed()).await.expect("it is closed");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// It goes back to its task, which answers what has begun.
#[tokio::test]
async fn what_waits_in_an_handoff_sender_that_is_closed_is_answered_by_its_sender() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("a socket can be");
    let address = listener.local_addr().expect("it is bound");
    let (handoff_sender, idle_conns) = mpsc::channel(1);
    let (drain, signal) = Drain::new();
    let place = Place { handoff_sender: Some(handoff_sender), ..Place::new(LoadTable::local(), 0) };
    let sockets = vec![vec![Socket::Tcp(listener)]];
    let serving = start(http(Router::new()).into(), sockets, place, Handle::detached(), signal).await;
    let _serving = serving.expect("it starts");
    let mut client = TcpStream::connect(address).await.expect("it listens");
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is open");
    let mut first = [0; 12];
    client.read_exact(&mut first).await.expect("an answer");
    client.write_all(b"GET / HT").await.expect("it is open");
    drain.begin_staggered(4 * HOLD);
    let leaves = async {
        while idle_conns.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(4 * HOLD, leaves).await.expect("it leaves");
    Successors::of(idle_conns).set_successors(&Links::new(Skipped::default(), false), &[]);
    client.write_all(b"TP/1.1\r\nhost: x\r\n\r\n").await.expect("it is open");
    let mut answers = String::new();
    let end = timeout(4 * HOLD, client.read_to_string(&mut answers)).await.expect("the end comes");
    end.expect("an orderly end");
    assert!(answers.contains("HTTP/1.1 404") && answers.contains("connection: close"), "{answers:?}");
}

#[tokio::test]
async fn what_is_refused_is_closed() {
    let (_successors, _links, mut successor, offer, client) = draining().await;
    successor.refuse(offer, false).await;
    closed(client).await;
}

/// It was offered while the successor stood still, whose own end has begun meanwhile. Who comes next is named before the late
/// answer, or after it.
#[tokio::test]
async fn what_a_successor_refuses_since_it_drains_goes_to_the_next_that_is_named() {
    for named_first in [true, false] {
        let (mut successors, mut links, mut successor, offer, client) = draining().await;
        let mut next = SuccessorNode::joined(&mut links, id(2));
        if named_first {
            successors.set_successors(&links, &[vec![id(2)]]);
        }
        successor.refuse(offer, true).await;
        if !named_first {
            // It is asked once more, and says the same.
            let again = successor.offered().await;
            successors.set_successors(&links, &[vec![id(2)]]);
            successor.refuse(again, true).await;
        }
        next.take().await;
        closed(client).await;
    }
}

#[tokio::test]
async fn what_a_full_successor_refuses_goes_to_one_that_has_been_named_meanwhile() {
    let (mut successors, mut links, mut successor, offer, client) = draining().await;
    let mut next = SuccessorNode::joined(&mut links, id(2));
    successors.set_successors(&links, &[vec![id(2)]]);
    successor.refuse(offer, false).await;
    next.take().await;
    closed(client).await;
}

/// The window and half as many again.
const MANY: usize = 96;

/// Connections that are offered to a node's only successor, which answers none yet.
async fn offered(links: &Links) -> (Successors, Vec<UnixStream>) {
    let (handoff_sender, idle_conns) = mpsc::channel(MANY);
    let mut successors = Successors::of(idle_conns);
    successors.set_successors(links, &[vec![id(1)]]);
    let mut clients = Vec::new();
    for _ in 0..MANY {
        let (idle_conn, client) = connection();
        handoff_sender.send(idle_conn).await.expect("it is taken");
        clients.push(client);
    }
    (successors, clients)
}

#[tokio::test(start_paused = true)]
async fn a_slow_successor_is_waited_for_and_gets_all() {
    let mut links = Links::new(Skipped::default(), false);
    let mut successor = SuccessorNode::joined(&mut links, id(1));
    let (_successors, clients) = offered(&links).await;
    for _ in 0..MANY {
        // Each time one hundredth less than the others' patience: they wait for more than a minute all together.
        tokio::time::sleep(PATIENCE * 99 / 100).await;
        successor.take().await;
    }
    for client in clients {
        closed(client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_successor_that_stood_still_gets_the_others_when_it_goes_on() {
    let mut links = Links::new(Skipped::default(), false);
    let mut successor = SuccessorNode::joined(&mut links, id(1));
    let (_successors, clients) = offered(&links).await;
    tokio::time::sleep(HOLD - PATIENCE).await;
    for _ in 0..MANY {
        successor.take().await;
    }
    for client in clients {
        closed(client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_without_an_end() {
    let (_successors, _links, successor, offer, client) = draining().await;
    drop((successor, offer));
    let begun = Instant::now();
    closed(client).await;
    assert_eq!(begun.elapsed().as_secs(), HOLD.as_secs());
}
