//! An idle park whose event loop, siblings and clients the test plays.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::*;
use crate::Addr;
use crate::conn_info::ConnInfo;
use crate::conn_limit::ConnLimit;
use crate::handoff_receiver::{HandoffReceiver, Reserved};
use crate::idle_conn::{HandoffSender, IdleConn};
use crate::stream::ConnTracker;
use crate::{Drain, Line, LoadTable};

/// No test waits longer for anything; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(1000);

struct House {
    handoff_receiver: HandoffReceiver,
    line: Line,
    drain: Drain,
    idle_timeout: watch::Sender<IdleTimeout>,
    taken: mpsc::Receiver<AcceptedConn>,
    idle_conns: mpsc::Receiver<IdleConn>,
}

impl House {
    fn open(idle_timeout: IdleTimeout) -> House {
        let line = LoadTable::local().line(0).expect("it has one");
        let (drain, signal) = Drain::new();
        let tracker = ConnTracker::new(line.clone(), signal.clone(), None);
        let (handoff_receiver, mut ends) =
            HandoffReceiver::new(tracker, signal.clone(), vec![Some(ConnLimit::new(None, None))]);
        let (idle_conns, handoff_sender) = mpsc::channel(1);
        let from = ConnHandoff::new(Some(HandoffSender { server: 0, idle_conns, busy_handoff: None }), signal.clone());
        let (idle_timeout, told) = watch::channel(idle_timeout);
        let (_, taken) = IdlePark::open(ends.remove(0), from, signal, told, None);
        House { handoff_receiver, line, drain, idle_timeout, taken, idle_conns: handoff_sender }
    }

    fn reserve(&self) -> Reserved {
        self.handoff_receiver.reserve(0).expect("there is a place")
    }

    /// Another process hands a connection over; what is returned is its client.
    fn handoff(&self) -> UnixStream {
        adopt(self.reserve())
    }

    async fn next(&mut self) -> StdUnixStream {
        let taken = timeout(LIMIT, self.taken.recv()).await.expect("it comes").expect("the lobby is open");
        StdUnixStream::from(taken.socket)
    }

    async fn next_idle_conn(&mut self) -> IdleConn {
        timeout(LIMIT, self.idle_conns.recv()).await.expect("it comes").expect("the way out is open")
    }

    async fn is_left_by_all(&self) {
        timeout(LIMIT, async {
            while self.line.open() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("all go");
    }
}

fn adopt(reserved: Reserved) -> UnixStream {
    let (socket, client) = StdUnixStream::pair().expect("a pair");
    socket.set_nonblocking(true).expect("a socket can be");
    client.set_nonblocking(true).expect("a socket can be");
    let info = ConnInfo { peer: Addr::Unix, local: Addr::Unix };
    reserved.adopt(IdleConn::arrived(0, OwnedFd::from(socket), Bytes::new(), info));
    UnixStream::from_std(client).expect("in a runtime")
}

/// Lets all tasks come to rest.
async fn rest() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

async fn ended(client: &mut UnixStream) {
    let read = timeout(LIMIT, client.read(&mut [0])).await.expect("it comes");
    assert_eq!(read.expect("no reset"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_taken_when_its_client_has_spoken_and_no_byte_was_read() {
    let mut house = House::open(IdleTimeout::Endless);
    let mut client = house.handoff();
    rest().await;
    assert!(house.taken.is_empty() && house.line.open() == 1);
    client.write_all(b"GET /").await.expect("written");
    let mut socket = house.next().await;
    let mut buffer = [0; 16];
    assert_eq!(socket.read(&mut buffer).expect("it is there"), 5);
    socket.write_all(b"yes").expect("written");
    client.read_exact(&mut buffer[..3]).await.expect("an answer");
    assert_eq!(&buffer[..3], b"yes");
}

#[tokio::test]
async fn the_event_loop_hears_of_a_client_that_has_left() {
    let mut house = House::open(IdleTimeout::Endless);
    drop(house.handoff());
    assert_eq!(house.next().await.read(&mut [0]).expect("no reset"), 0);
    house.is_left_by_all().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_its_time_which_may_change_meanwhile() {
    let house = House::open(IdleTimeout::of(Duration::from_secs(60)));
    let begin = Instant::now();
    let mut client = house.handoff();
    rest().await;
    house.idle_timeout.send_replace(IdleTimeout::of(Duration::from_secs(5)));
    ended(&mut client).await;
    let after = begin.elapsed();
    assert!(after >= Duration::from_secs(5) && after < Duration::from_secs(6), "{after:?}");
    drop(client);
    house.is_left_by_all().await;
}

#[tokio::test(start_paused = true)]
async fn zero_is_for_ever() {
    let mut house = House::open(IdleTimeout::of(Duration::ZERO));
    let mut client = house.handoff();
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    client.write_all(b"!").await.expect("it is open");
    house.next().await;
}

#[tokio::test]
async fn in_a_drain_idle_connections_go_on_and_then_the_idle_park_ends() {
    let mut house = House::open(IdleTimeout::Endless);
    let promised = house.reserve();
    let mut clients = vec![house.handoff(), house.handoff()];
    house.drain.begin_staggered(LIMIT);
    assert!(house.handoff_receiver.reserve(0).is_none(), "it takes over no more");
    rest().await;
    // What was promised before the drain comes too.
    clients.push(adopt(promised));
    let mut elsewhere = Vec::new();
    for _ in 0..3 {
        let idle_conn = house.next_idle_conn().await;
        elsewhere.push(idle_conn.socket().try_clone_to_owned().expect("dup"));
        idle_conn.given();
    }
    house.is_left_by_all().await;
    assert!(timeout(LIMIT, house.taken.recv()).await.expect("the end").is_none());
    assert!(clients.iter().all(|client| client.try_read(&mut [0]).is_err()), "they were not ended");
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_takes_is_closed_unless_its_client_has_spoken_meanwhile() {
    let mut house = House::open(IdleTimeout::Endless);
    let (mut silent, mut speaks) = (house.handoff(), house.handoff());
    rest().await;
    house.drain.begin_staggered(LIMIT);
    let (first, second) = (house.next_idle_conn().await, house.next_idle_conn().await);
    speaks.write_all(b"GET /").await.expect("it is open");
    first.close();
    second.close();
    let mut buffer = [0; 16];
    assert_eq!(house.next().await.read(&mut buffer).expect("it is there"), 5);
    ended(&mut silent).await;
}

#[tokio::test]
async fn where_the_event_loop_takes_none_any_more_all_are_closed() {
    let house = House::open(IdleTimeout::Endless);
    let promised = house.reserve();
    let mut waits = house.handoff();
    rest().await;
    house.idle_timeout.send_replace(IdleTimeout::Over);
    ended(&mut waits).await;
    assert!(house.handoff_receiver.reserve(0).is_none(), "it takes over no more");
    ended(&mut adopt(promised)).await;
}

#[tokio::test]
async fn no_more_than_so_many_wait_for_the_event_loop_and_none_is_lost() {
    const MORE: usize = 10;
    let mut house = House::open(IdleTimeout::Endless);
    let mut clients = Vec::new();
    for _ in 0..READY + MORE {
        let mut client = house.handoff();
        client.write_all(b"!").await.expect("written");
        clients.push(client);
    }
    timeout(LIMIT, async {
        while house.taken.len() < READY {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("they speak");
    rest().await;
    assert_eq!((house.taken.len(), house.line.open()), (READY, (READY + MORE) as u64));
    for _ in 0..READY + MORE {
        house.next().await;
    }
    house.is_left_by_all().await;
}
