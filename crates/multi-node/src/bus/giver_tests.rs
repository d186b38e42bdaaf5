//! Heirs that the test plays: it reads the offers and answers them, or does not.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use axum::Router;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::super::message::{BusMessage, Offer};
use super::*;
use crate::control::{self, Reader, Skipped, Writer};
use crate::nodes::Handle;
use crate::serve::{ConnInfo, Drain, LoadTable, Place, Socket, http, start};
use crate::{Addr, sys};

struct Heir {
    reader: Reader<BusMessage>,
    writer: Writer<BusMessage>,
}

impl Heir {
    fn joined(links: &mut Links, id: NodeId) -> Heir {
        let (ours, theirs) = sys::socket::pair().expect("a pair");
        links.join(id, ours, false).expect("joined");
        let (reader, writer) = control::channel(StdUnixStream::from(theirs)).expect("a channel");
        Heir { reader, writer }
    }

    async fn offered(&mut self) -> Offer {
        match timeout(2 * HOLD, self.reader.next()).await.expect("nothing is waited for any longer") {
            Ok(Some(BusMessage::Offer(offer))) => offer,
            other => panic!("no offer: {other:?}"),
        }
    }
}

/// A connection, and its client.
fn connection() -> (Parcel, UnixStream) {
    let (socket, client) = StdUnixStream::pair().expect("a pair");
    client.set_nonblocking(true).expect("a socket can be");
    let info = ConnInfo::new(Addr::Unix, Addr::Unix);
    let parcel = Parcel::arrived(0, OwnedFd::from(socket), Bytes::new(), info);
    (parcel, UnixStream::from_std(client).expect("in a runtime"))
}

fn id(number: u64) -> NodeId {
    NodeId::node(number)
}

/// A node that drains, whose only heir is offered a connection.
async fn draining() -> (Heirs, Links, Heir, Offer, UnixStream) {
    let (outlet, parcels) = mpsc::channel(1);
    let (mut heirs, mut links) = (Heirs::of(parcels), Links::new(Skipped::default()));
    let mut heir = Heir::joined(&mut links, id(1));
    heirs.appoint(&links, &[vec![id(1)]]);
    let (parcel, client) = connection();
    outlet.send(parcel).await.expect("it is taken");
    let offer = heir.offered().await;
    (heirs, links, heir, offer, client)
}

async fn closed(mut client: UnixStream) {
    assert_eq!(client.read(&mut [0]).await.expect("no reset"), 0);
}

#[tokio::test]
async fn what_a_dead_heir_did_not_take_goes_to_the_next_that_is_named() {
    let (mut heirs, mut links, heir, _, client) = draining().await;
    drop(heir);
    let mut next = Heir::joined(&mut links, id(2));
    heirs.appoint(&links, &[vec![id(2)]]);
    let offer = next.offered().await;
    next.writer.send(BusMessage::Taken { number: offer.number }).await.expect("sent");
    drop(offer.socket);
    closed(client).await;
}

#[tokio::test]
async fn a_connection_waits_for_an_heir_that_is_to_come() {
    let (outlet, parcels) = mpsc::channel(1);
    let (mut heirs, mut links) = (Heirs::of(parcels), Links::new(Skipped::default()));
    heirs.appoint(&links, &[Vec::new()]);
    let (parcel, client) = connection();
    outlet.send(parcel).await.expect("it is taken");
    let mut next = Heir::joined(&mut links, id(1));
    heirs.appoint(&links, &[vec![id(1)]]);
    let offer = next.offered().await;
    next.writer.send(BusMessage::Taken { number: offer.number }).await.expect("sent");
    drop(offer.socket);
    closed(client).await;
}

#[tokio::test]
async fn what_the_heir_of_a_service_that_ends_did_not_take_is_closed() {
    let (mut heirs, links, heir, offer, client) = draining().await;
    heirs.appoint(&links, &[]);
    drop((heir, offer));
    closed(client).await;
}

#[tokio::test(start_paused = true)]
async fn without_heirs_the_outlet_is_closed_at_once() {
    // There are none; or the only one has died.
    for ids in [vec![], vec![vec![id(9)]]] {
        let (outlet, parcels) = mpsc::channel(1);
        let (mut heirs, links) = (Heirs::of(parcels), Links::new(Skipped::default()));
        let (parcel, client) = connection();
        outlet.try_send(parcel).expect("there is room");
        let begun = Instant::now();
        heirs.appoint(&links, &ids);
        timeout(HOLD, outlet.closed()).await.expect("it is closed");
        closed(client).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn when_there_are_no_heirs_any_more_the_outlet_is_closed() {
    let (outlet, parcels) = mpsc::channel(1);
    let (mut heirs, mut links) = (Heirs::of(parcels), Links::new(Skipped::default()));
    let _heir = Heir::joined(&mut links, id(1));
    heirs.appoint(&links, &[vec![id(1)]]);
    let begun = Instant::now();
    heirs.appoint(&links, &[]);
    timeout(HOLD, outlet.closed()).await.expect("it is closed");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// It goes back to its task, which answers what has begun.
#[tokio::test]
async fn what_waits_in_an_outlet_that_is_closed_is_answered_by_its_sender() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("a socket can be");
    let address = listener.local_addr().expect("it is bound");
    let (outlet, parcels) = mpsc::channel(1);
    let (drain, signal) = Drain::new();
    let place = Place { load: LoadTable::local(), line: 0, bell: None, outlet: Some(outlet), most_connections: None };
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
        while parcels.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(4 * HOLD, leaves).await.expect("it leaves");
    Heirs::of(parcels).appoint(&Links::new(Skipped::default()), &[]);
    client.write_all(b"TP/1.1\r\nhost: x\r\n\r\n").await.expect("it is open");
    let mut answers = String::new();
    let end = timeout(4 * HOLD, client.read_to_string(&mut answers)).await.expect("the end comes");
    end.expect("an orderly end");
    assert!(answers.contains("HTTP/1.1 404") && answers.contains("connection: close"), "{answers:?}");
}

#[tokio::test]
async fn what_is_refused_is_closed() {
    let (_heirs, _links, mut heir, offer, client) = draining().await;
    heir.writer.send(BusMessage::Refused { number: offer.number }).await.expect("sent");
    drop(offer);
    closed(client).await;
}

/// The window and half as many again.
const MANY: usize = 96;

/// Connections that are offered to a node's only heir, which answers none yet.
async fn offered(links: &Links) -> (Heirs, Vec<UnixStream>) {
    let (outlet, parcels) = mpsc::channel(MANY);
    let mut heirs = Heirs::of(parcels);
    heirs.appoint(links, &[vec![id(1)]]);
    let mut clients = Vec::new();
    for _ in 0..MANY {
        let (parcel, client) = connection();
        outlet.send(parcel).await.expect("it is taken");
        clients.push(client);
    }
    (heirs, clients)
}

#[tokio::test(start_paused = true)]
async fn a_slow_heir_is_waited_for_and_gets_all() {
    let mut links = Links::new(Skipped::default());
    let mut heir = Heir::joined(&mut links, id(1));
    let (_heirs, clients) = offered(&links).await;
    for _ in 0..MANY {
        // Each time one hundredth less than the others' patience: they wait for more than a minute all together.
        tokio::time::sleep(PATIENCE * 99 / 100).await;
        let Offer { number, .. } = heir.offered().await;
        heir.writer.send(BusMessage::Taken { number }).await.expect("sent");
    }
    for client in clients {
        closed(client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_heir_that_stood_still_gets_the_others_when_it_goes_on() {
    let mut links = Links::new(Skipped::default());
    let mut heir = Heir::joined(&mut links, id(1));
    let (_heirs, clients) = offered(&links).await;
    tokio::time::sleep(HOLD - PATIENCE).await;
    for _ in 0..MANY {
        let Offer { number, .. } = heir.offered().await;
        heir.writer.send(BusMessage::Taken { number }).await.expect("sent");
    }
    for client in clients {
        closed(client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_without_an_end() {
    let (_heirs, _links, heir, offer, client) = draining().await;
    drop((heir, offer));
    let begun = Instant::now();
    closed(client).await;
    assert_eq!(begun.elapsed().as_secs(), HOLD.as_secs());
}
