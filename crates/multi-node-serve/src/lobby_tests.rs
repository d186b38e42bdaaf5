//! A lobby whose event loop, siblings and clients the test plays.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::*;
use crate::Addr;
use crate::http::ConnInfo;
use crate::intake::{Intake, Reserved};
use crate::parcel::{Outlet, Parcel};
use crate::places::Places;
use crate::stream::Doors;
use crate::{Drain, Line, LoadTable};

/// No test waits longer for anything; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(1000);

struct House {
    intake: Intake,
    line: Line,
    drain: Drain,
    patience: watch::Sender<Patience>,
    taken: mpsc::Receiver<Taken>,
    parcels: mpsc::Receiver<Parcel>,
}

impl House {
    fn open(patience: Patience) -> House {
        let line = LoadTable::local().line(0).expect("it has one");
        let (drain, signal) = Drain::new();
        let doors = Doors::new(line.clone(), signal.clone(), None);
        let (intake, mut ends) = Intake::new(doors, signal.clone(), vec![Some(Places::new(None, None))]);
        let (parcels, outlet) = mpsc::channel(1);
        let giver = Giver::new(Some(Outlet { server: 0, parcels }), signal.clone());
        let (patience, told) = watch::channel(patience);
        let taken = Lobby::open(ends.remove(0), giver, signal, told);
        House { intake, line, drain, patience, taken, parcels: outlet }
    }

    fn reserve(&self) -> Reserved {
        self.intake.reserve(0).expect("there is a place")
    }

    /// Another process hands a connection over; what is returned is its client.
    fn hand_over(&self) -> UnixStream {
        adopt(self.reserve())
    }

    async fn next(&mut self) -> StdUnixStream {
        let taken = timeout(LIMIT, self.taken.recv()).await.expect("it comes").expect("the lobby is open");
        StdUnixStream::from(taken.socket)
    }

    async fn next_parcel(&mut self) -> Parcel {
        timeout(LIMIT, self.parcels.recv()).await.expect("it comes").expect("the way out is open")
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
    reserved.adopt(Parcel::arrived(0, OwnedFd::from(socket), Bytes::new(), info));
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
    let mut house = House::open(Patience::Endless);
    let mut client = house.hand_over();
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
    let mut house = House::open(Patience::Endless);
    drop(house.hand_over());
    assert_eq!(house.next().await.read(&mut [0]).expect("no reset"), 0);
    house.is_left_by_all().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_its_time_which_may_change_meanwhile() {
    let house = House::open(Patience::of(Duration::from_secs(60)));
    let begin = Instant::now();
    let mut client = house.hand_over();
    rest().await;
    house.patience.send_replace(Patience::of(Duration::from_secs(5)));
    ended(&mut client).await;
    let after = begin.elapsed();
    assert!(after >= Duration::from_secs(5) && after < Duration::from_secs(6), "{after:?}");
    drop(client);
    house.is_left_by_all().await;
}

#[tokio::test(start_paused = true)]
async fn zero_is_for_ever() {
    let mut house = House::open(Patience::of(Duration::ZERO));
    let mut client = house.hand_over();
    tokio::time::sleep(Duration::from_secs(100_000)).await;
    client.write_all(b"!").await.expect("it is open");
    house.next().await;
}

#[tokio::test]
async fn in_a_drain_idle_connections_go_on_and_then_the_lobby_ends() {
    let mut house = House::open(Patience::Endless);
    let promised = house.reserve();
    let mut clients = vec![house.hand_over(), house.hand_over()];
    house.drain.begin_staggered(LIMIT);
    assert!(house.intake.reserve(0).is_none(), "it takes over no more");
    rest().await;
    // What was promised before the drain comes too.
    clients.push(adopt(promised));
    let mut elsewhere = Vec::new();
    for _ in 0..3 {
        let parcel = house.next_parcel().await;
        elsewhere.push(parcel.socket().try_clone_to_owned().expect("dup"));
        parcel.given();
    }
    house.is_left_by_all().await;
    assert!(timeout(LIMIT, house.taken.recv()).await.expect("the end").is_none());
    assert!(clients.iter().all(|client| client.try_read(&mut [0]).is_err()), "they were not ended");
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_takes_is_closed_unless_its_client_has_spoken_meanwhile() {
    let mut house = House::open(Patience::Endless);
    let (mut silent, mut speaks) = (house.hand_over(), house.hand_over());
    rest().await;
    house.drain.begin_staggered(LIMIT);
    let (first, second) = (house.next_parcel().await, house.next_parcel().await);
    speaks.write_all(b"GET /").await.expect("it is open");
    first.close();
    second.close();
    let mut buffer = [0; 16];
    assert_eq!(house.next().await.read(&mut buffer).expect("it is there"), 5);
    ended(&mut silent).await;
}

#[tokio::test]
async fn where_the_event_loop_takes_none_any_more_all_are_closed() {
    let house = House::open(Patience::Endless);
    let promised = house.reserve();
    let mut waits = house.hand_over();
    rest().await;
    house.patience.send_replace(Patience::Over);
    ended(&mut waits).await;
    assert!(house.intake.reserve(0).is_none(), "it takes over no more");
    ended(&mut adopt(promised)).await;
}

#[tokio::test]
async fn no_more_than_so_many_wait_for_the_event_loop_and_none_is_lost() {
    const MORE: usize = 10;
    let mut house = House::open(Patience::Endless);
    let mut clients = Vec::new();
    for _ in 0..READY + MORE {
        let mut client = house.hand_over();
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
