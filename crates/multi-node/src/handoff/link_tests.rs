//! A link that dies between an offer and what is made of its answer: the connection has one reader, before and after.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use axum::Router;
use bytes::Bytes;
use tokio::time::timeout;

use super::*;
use crate::nodes::Handle;
use crate::serve::{Addr, BusyHandoff, ConnInfo, Drain, LoadTable, Place, Serving, Socket, http, start};

/// No test waits longer for anything; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(20);

const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi";

type Channel = (Reader<HandoffMessage>, Writer<HandoffMessage>);

fn id() -> NodeId {
    NodeId::node(1)
}

fn pair() -> (OwnedFd, Channel) {
    let (ours, theirs) = sys::socket::pair().expect("a pair");
    (ours, control::channel(theirs.into()).expect("a channel"))
}

/// An accepted connection, and its client.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let accepted = listener.accept().expect("a client").0;
    accepted.set_nonblocking(true).expect("a socket can be");
    (accepted, client)
}

fn idle_conn() -> IdleConn {
    let info = ConnInfo::new(Addr::Unix, Addr::Unix);
    IdleConn::arrived(0, OwnedFd::from(connection().0), Bytes::new(), info)
}

fn offer(number: u64, socket: &TcpStream) -> Offer {
    let socket = socket.try_clone().expect("files are left");
    let info = ConnInfo::new(Addr::Unix, Addr::Unix);
    Offer { number, server: 0, before: Bytes::new(), info, socket: socket.into(), for_request: false, when_busy: false }
}

/// A process that serves, and its side of the drain.
async fn serving() -> (Serving, LoadTable, Drain) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("a socket can be");
    let (load, (drain, signal)) = (LoadTable::local(), Drain::new());
    let place = Place::new(load.clone(), 0);
    let sockets = vec![vec![Socket::Tcp(listener)]];
    let serving = start(http(Router::new()).into(), sockets, place, Handle::detached(), signal).await;
    (serving.expect("it starts"), load, drain)
}

#[tokio::test]
async fn what_cannot_be_acknowledged_is_not_served() {
    let (serving, load, _drain) = serving().await;
    let (mut socket, mut client) = connection();
    client.write_all(REQUEST).expect("it is open");
    let mut links = Links::new(Skipped::default(), false);
    links.handoff_receiver().set(serving.handoff_receiver()).expect("it is not set yet");
    let (ours, (reader, mut writer)) = pair();
    writer.send(HandoffMessage::Offer(offer(1, &socket))).await.expect("sent");
    drop((reader, writer));
    links.open(id(), ours, false).expect("joined");
    links.to(&[id()])[0].stream().await.expect("it is open").offers.closed().await;
    assert_eq!(load.counts(0).open, 0, "it is served beside its sender, who was told nothing");
    let mut request = vec![0; 2 * REQUEST.len()];
    let count = socket.read(&mut request).expect("nobody else has read it");
    assert_eq!(&request[..count], REQUEST);
}

#[tokio::test]
async fn what_is_acknowledged_is_served() {
    let (serving, _load, _drain) = serving().await;
    let (socket, mut client) = connection();
    client.write_all(REQUEST).expect("it is open");
    let mut links = Links::new(Skipped::default(), false);
    let (ours, (mut reader, mut writer)) = pair();
    links.open(id(), ours, false).expect("joined");
    // It serves from now on, and not yet when it was joined.
    links.handoff_receiver().set(serving.handoff_receiver()).expect("it is not set yet");
    writer.send(HandoffMessage::Offer(offer(1, &socket))).await.expect("sent");
    drop(socket);
    let taken = timeout(LIMIT, reader.next()).await.expect("it is answered");
    assert!(matches!(taken, Ok(Some(HandoffMessage::Taken { number: 1 }))));
    let answer = tokio::task::spawn_blocking(move || {
        let mut first = [0; 12];
        client.read_exact(&mut first).map(|()| first)
    });
    let answer = timeout(LIMIT, answer).await.expect("it is served").expect("no panic");
    assert_eq!(&answer.expect("an answer"), b"HTTP/1.1 404");
}

#[test]
fn only_a_peer_that_says_so_in_a_version_of_ours_is_offered_connections() {
    let HandoffMessage::Hello { versions, capabilities } = message::hello() else { panic!("a hello") };
    assert!(message::takes_offers(versions, &capabilities));
    assert!(!message::takes_offers(versions, &[]));
    assert!(!message::takes_offers(versions, &["later".to_owned()]));
    let later = control::Versions { lowest: versions.highest + 1, highest: versions.highest + 2 };
    assert!(!message::takes_offers(later, &capabilities));
}

#[tokio::test]
async fn a_peer_that_has_ended_is_offered_nothing() {
    let mut links = Links::new(Skipped::default(), false);
    let (ours, _theirs) = pair();
    links.open(id(), ours, false).expect("joined");
    assert_eq!(links.to(&[id()]).len(), 1);
    links.part(id());
    assert!(links.to(&[id()]).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_nothing_is_waited_for_no_longer_than_patience() {
    let mut links = Links::new(Skipped::default(), false);
    let (ours, _theirs) = pair();
    links.open(id(), ours, false).expect("joined");
    let link = links.to(&[id()]).remove(0);
    let stream = link.stream().await.expect("it is open");
    let _all = stream.window.acquire_many(WINDOW as u32).await.expect("it is open");
    let begun = Instant::now();
    let error =
        timeout(LIMIT, link.offer(1, &idle_conn())).await.expect("it is given up").expect_err("there is no place");
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, PATIENCE.as_secs()));
}

/// Many connections ask for a stream once, and again when none has come; it serves them all.
#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_for_when_it_is_needed() {
    let mut links = Links::new(Skipped::default(), false);
    links.name(id());
    let link = links.to(&[id()]).remove(0);
    for _ in 0..2 {
        let (idle, other) = (idle_conn(), idle_conn());
        let (first, second) = tokio::join!(link.offer(1, &idle), link.offer(2, &other));
        let kinds = [first, second].map(|offered| offered.expect_err("there is no stream").kind());
        assert_eq!(kinds, [io::ErrorKind::TimedOut; 2]);
        assert_eq!(links.wanted().await, Some(id()));
        assert!(links.wanted.try_recv().is_err(), "once");
    }
    let (idle, (ours, (mut reader, mut writer))) = (idle_conn(), pair());
    let peer = async {
        assert_eq!(links.wanted().await, Some(id()));
        links.open(id(), ours, false).expect("opened");
        let (second, _) = pair();
        links.open(id(), second, false).expect("the first is kept");
        let Ok(Some(HandoffMessage::Offer(offer))) = reader.next().await else { panic!("no offer") };
        writer.send(HandoffMessage::Taken { number: offer.number }).await.expect("sent");
    };
    let (offered, ()) = tokio::join!(link.offer(3, &idle), peer);
    offered.expect("it is taken");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_stream_to_a_peer_that_has_ended() {
    let mut links = Links::new(Skipped::default(), false);
    links.name(id());
    let (link, idle) = (links.to(&[id()]).remove(0), idle_conn());
    let begun = Instant::now();
    let (offered, ()) = tokio::join!(link.offer(1, &idle), async { links.part(id()) });
    assert_eq!(offered.expect_err("it has ended").kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// The writing side finds out about the end first, or the reading side: half of the rounds each.
#[tokio::test]
async fn what_was_taken_before_the_link_died_was_taken() {
    for _ in 0..40 {
        let (ours, (reader, mut writer)) = pair();
        writer.send(HandoffMessage::Taken { number: 1 }).await.expect("sent");
        writer.send(HandoffMessage::Refused { number: 2, draining: false }).await.expect("sent");
        drop((reader, writer));
        let (reader, writer) = control::channel(ours.into()).expect("a channel");
        let (sender, offers) = mpsc::channel(QUEUE);
        let (replies, mut answers): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
        let (last, unheard) = oneshot::channel();
        sender.try_send((offer(3, &connection().0), last)).expect("there is room");
        let unanswered = (1..).zip(replies).collect();
        let ends = Ends {
            reader,
            writer,
            takes: Takes::Yes,
            takes_when_busy: Arc::default(),
            offers,
            unanswered,
            handoff_receiver: Arc::default(),
            busy_handoff: None,
        };
        // How it ends depends on the side that was first.
        let _ = ends.run().await;
        assert_eq!((answers[0].try_recv(), answers[1].try_recv()), (Ok(Answer::Taken), Ok(Answer::Refused)));
        assert!(unheard.await.is_err(), "nobody has answered this one");
    }
}

#[tokio::test]
async fn an_offer_is_kept_until_its_answer_comes() {
    for answer in [Some(true), Some(false), None] {
        let mut links = Links::new(Skipped::default(), false);
        let (ours, (mut reader, mut writer)) = pair();
        links.open(id(), ours, false).expect("joined");
        let (link, idle_conn) = (links.to(&[id()]).remove(0), idle_conn());
        let mut offering = pin!(link.offer(7, &idle_conn));
        assert!(timeout(Duration::ZERO, offering.as_mut()).await.is_err());
        let Ok(Some(HandoffMessage::Offer(Offer { number, .. }))) = reader.next().await else {
            panic!("it is offered")
        };
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(timeout(Duration::ZERO, offering.as_mut()).await.is_err(), "nobody has answered");
        }
        match answer {
            Some(true) => writer.send(HandoffMessage::Taken { number }).await.expect("sent"),
            Some(false) => writer.send(HandoffMessage::Refused { number, draining: false }).await.expect("sent"),
            None => drop((reader, writer)),
        }
        let expected = match answer {
            Some(true) => Ok(()),
            Some(false) => Err(io::ErrorKind::ConnectionRefused),
            None => Err(io::ErrorKind::BrokenPipe),
        };
        assert_eq!(offering.await.map_err(|error| error.kind()), expected);
    }
}

/// What comes next, while the runtime of the test has no turn.
fn heard_meanwhile(reader: &mut Reader<HandoffMessage>) -> HandoffMessage {
    loop {
        if let Some(message) = reader.next_arrived().expect("the stream is open") {
            return message;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_process_that_computes_answers_at_once_and_refuses_what_another_gives_since_it_computes() {
    let (serving, load, _drain) = serving().await;
    let handoff = BusyHandoff::of_runtime(load.line(0).expect("it has one")).expect("it has one thread");
    let busy = Busy::new(id(), handoff.clone(), load.clone());
    let mut links = Links::new(Skipped::default(), false).with_busy(Some(busy));
    links.handoff_receiver().set(serving.handoff_receiver()).expect("it is not set yet");
    let (ours, (mut reader, mut writer)) = pair();
    links.open(id(), ours, false).expect("joined");
    // Something waits for the runtime, which has no turn from here on.
    let (waiting, mut event) = std::os::unix::net::UnixStream::pair().expect("a pair");
    waiting.set_nonblocking(true).expect("it can be");
    let _waiting = tokio::net::UnixStream::from_std(waiting).expect("a runtime");
    event.write_all(b"x").expect("it is open");
    while !handoff.is_late() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (socket, _client) = connection();
    for when_busy in [true, false] {
        writer.put(&HandoffMessage::Offer(Offer { when_busy, ..offer(1, &socket) })).expect("a message");
        writer.flush_now();
        match heard_meanwhile(&mut reader) {
            HandoffMessage::Refused { draining: false, .. } => assert!(when_busy),
            HandoffMessage::Taken { .. } => assert!(!when_busy),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn only_a_peer_that_says_so_is_offered_connections_of_a_process_that_computes() {
    for (capability, expected) in [("takes_offers_when_busy", true), ("weighs", false)] {
        let mut links = Links::new(Skipped::default(), false);
        let (ours, (mut reader, mut writer)) = pair();
        links.open(id(), ours, true).expect("joined");
        assert!(matches!(reader.next().await, Ok(Some(HandoffMessage::Hello { .. }))));
        let link = links.to(&[id()]).pop().expect("a link");
        assert!(!link.takes_when_busy(), "it has said nothing yet");
        let HandoffMessage::Hello { versions, .. } = message::hello() else { panic!("a hello") };
        let capabilities = vec!["takes_offers".to_owned(), capability.to_owned()];
        writer.send(HandoffMessage::Hello { versions, capabilities }).await.expect("sent");
        // An offer is written once the hello was read.
        let offers = tokio::spawn({
            let link = link.clone();
            async move { link.offer(1, &idle_conn()).await }
        });
        assert!(matches!(reader.next().await, Ok(Some(HandoffMessage::Offer(_)))));
        assert_eq!(link.takes_when_busy(), expected);
        offers.abort();
    }
}
