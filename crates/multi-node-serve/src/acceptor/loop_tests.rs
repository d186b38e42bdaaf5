//! Event loops that wait at the doors themselves; each is an epoll instance, and the test decides whose turn it is.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use multi_node_sys::epoll::{Epoll, accept_tcp, monotonic_ms};

use super::{Acceptor, Turn, wake_fd};
use crate::load::{Line, LoadTable};

/// No test takes longer; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(30);

const TOKEN: u64 = 7;

struct Fleet {
    listener: TcpListener,
    parts: Vec<Part>,
}

struct Part {
    acceptor: Acceptor,
    turn: Turn,
    waits: Epoll,
    line: Line,
    listener: TcpListener,
}

impl Fleet {
    /// `open` holds the numbers of open connections of the first processes.
    fn new(open: &[u32]) -> Fleet {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("a socket can be");
        let (load, wake_fd) = (LoadTable::on_heap(open.len()), wake_fd().expect("an eventfd"));
        let lines: Vec<Line> = (0..open.len()).map(|line| load.line(line).expect("there is one")).collect();
        for (line, open) in lines.iter().zip(open) {
            line.begin_serving(monotonic_ms());
            // Long ago, so that they are no part of what was taken lately.
            (0..*open).for_each(|_| line.opened(monotonic_ms() - 5000));
        }
        let parts = lines.into_iter().map(|line| Part::new(&load, line, &wake_fd, &listener)).collect();
        let fleet = Fleet { listener, parts };
        fleet.parts.iter().for_each(Part::wait_for_nothing);
        fleet
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().expect("it is bound")).expect("it listens")
    }
}

impl Part {
    fn new(load: &LoadTable, line: Line, wake_fd: &OwnedFd, listener: &TcpListener) -> Part {
        let file = || listener.as_fd().try_clone_to_owned().expect("files are left");
        let wake_fd = wake_fd.try_clone().expect("files are left");
        let (acceptor, _) = Acceptor::start(load.clone(), line.clone(), wake_fd, vec![file()]).expect("it starts");
        let waits = OwnedFd::from(Epoll::new().expect("an epoll instance"));
        let turn = acceptor.turn(0);
        turn.wait_in(waits.try_clone().expect("files are left"), TOKEN);
        let mut part = Part { acceptor, turn, waits: waits.into(), line, listener: file().into() };
        assert!(part.take().is_none(), "nobody has connected");
        part
    }

    /// What is offered, if anything; counted as open.
    fn take(&mut self) -> Option<TcpStream> {
        let Part { turn, listener, .. } = self;
        match turn.poll_take(&mut Context::from_waker(Waker::noop()), || accept_tcp(listener)) {
            Poll::Ready(Ok((stream, _))) => {
                self.line.opened(monotonic_ms());
                Some(stream)
            }
            Poll::Ready(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                self.take()
            }
            Poll::Pending => None,
        }
    }

    /// Whether the event loop is woken in this time.
    fn wakes_within(&self, time: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let tokens: Vec<u64> =
                self.waits.wait(Some(time.saturating_sub(begun.elapsed()))).expect("it can wait").collect();
            assert!(tokens.iter().all(|&token| token == TOKEN), "{tokens:?}");
            if !tokens.is_empty() || begun.elapsed() >= time {
                return !tokens.is_empty();
            }
        }
    }

    fn wait_for_nothing(&self) {
        assert!(!self.wakes_within(Duration::ZERO));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.acceptor.close();
    }
}

#[test]
fn an_event_loop_is_woken_itself_and_the_thread_sleeps_on() {
    let mut fleet = Fleet::new(&[0]);
    let before = fleet.parts[0].acceptor.wakes();
    for _ in 0..10 {
        let _client = fleet.connect();
        let part = &mut fleet.parts[0];
        assert!(part.wakes_within(LIMIT));
        part.turn.woken();
        assert!(part.take().is_some());
        assert!(part.take().is_none(), "there was one");
    }
    assert_eq!(fleet.parts[0].acceptor.wakes(), before);
}

/// How many of 40 connections each of four event loops has taken; `None` where one was so late that others have come in its place.
fn shares() -> Option<[usize; 4]> {
    let mut fleet = Fleet::new(&[0; 4]);
    let acceptors: Vec<Acceptor> = fleet.parts.iter().map(|part| part.acceptor.clone()).collect();
    let address = fleet.listener.local_addr().expect("it is bound");
    let over = AtomicBool::new(false);
    let (tell, told) = mpsc::channel();
    let mut shares = [0; 4];
    std::thread::scope(|scope| {
        for (index, part) in fleet.parts.iter_mut().enumerate() {
            let (tell, over) = (tell.clone(), &over);
            scope.spawn(move || {
                let begun = Instant::now();
                while begun.elapsed() < LIMIT && !over.load(Relaxed) {
                    if part.wakes_within(Duration::from_millis(10)) {
                        part.turn.woken();
                    }
                    while let Some(stream) = part.take() {
                        tell.send((index, stream)).expect("the test waits");
                    }
                }
            });
        }
        let mut open = Vec::new();
        for _ in 0..40 {
            let client = TcpStream::connect(address).expect("it listens");
            let (acceptor, stream) = told.recv_timeout(LIMIT).expect("somebody takes it");
            open.push((client, stream));
            shares[acceptor] += 1;
        }
        over.store(true, Relaxed);
    });
    acceptors.iter().all(|acceptor| acceptor.disturbances() == 0).then_some(shares)
}

#[test]
fn event_loops_take_turns() {
    let shares = (0..20).find_map(|_| shares()).expect("in one of twenty trials nobody is late");
    assert!(shares.iter().all(|share| (8..=12).contains(share)), "{shares:?}");
}

#[test]
fn a_connection_is_not_left_to_an_event_loop_that_is_busy_while_another_sleeps() {
    let mut fleet = Fleet::new(&[4, 0]);
    assert!(fleet.parts[0].acceptor.is_asleep(), "it has more than the other one");
    let _clients = [fleet.connect(), fleet.connect()];
    let idle = &mut fleet.parts[0];
    assert!(idle.wakes_within(LIMIT));
    idle.turn.woken();
    assert!(idle.take().is_some());
    assert!(idle.take().is_some(), "the busy one does not count until it comes");
}

#[test]
fn what_an_event_loop_was_woken_for_and_does_not_take_is_told_to_the_others() {
    let fleet = Fleet::new(&[0, 0]);
    let [leaves, stands] = &fleet.parts[..] else { unreachable!("there are two") };
    // The kernel wakes only the first, once that one waits.
    let _client = std::thread::scope(|scope| {
        let woken = scope.spawn(|| leaves.wakes_within(LIMIT));
        let client = fleet.connect();
        assert!(woken.join().expect("no panic"));
        client
    });
    leaves.turn.withdraw();
    assert!(stands.wakes_within(LIMIT));
}
