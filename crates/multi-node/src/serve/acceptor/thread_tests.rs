//! Processes' parts without their threads, so that the test decides whose turn it is.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::super::queue::{ANSWER, DoorState, Shared, bell};
use crate::serve::load::LoadTable;
use crate::sys::epoll::monotonic_ms;

struct Fleet {
    listener: TcpListener,
    parts: Vec<Shared>,
}

impl Fleet {
    fn new(parts: usize) -> Fleet {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("a socket can be");
        let (load, bell) = (LoadTable::on_heap(parts), bell().expect("an eventfd"));
        let clone = |file: &OwnedFd| file.try_clone().expect("files are left");
        let parts = (0..parts).map(|index| {
            let line = load.line(index).expect("there is one");
            line.begin_serving(monotonic_ms());
            let file = listener.as_fd().try_clone_to_owned().expect("files are left");
            Shared::new(load.clone(), line, clone(&bell), vec![file]).expect("it can wait")
        });
        let fleet = Fleet { parts: parts.collect(), listener };
        fleet.parts.iter().for_each(turn); // what comes of the beginning
        fleet
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener.local_addr().expect("it is bound")).expect("it listens")
    }
}

/// What the thread does for the events that are there; nothing where there are none, since no time passes for it.
fn turn(part: &Shared) {
    let mut tokens = part.epoll.wait(Some(Duration::ZERO)).expect("it can wait").peekable();
    if tokens.peek().is_some() {
        part.woken(tokens, &mut Vec::new());
    }
}

/// What the thread does when its timer has run out.
fn time_out(part: &Shared) {
    part.woken(std::iter::empty(), &mut Vec::new());
}

fn ask(part: &Shared) {
    part.ask(&mut part.lock(), 0);
}

fn state(part: &Shared) -> DoorState {
    part.lock().doors[0].state
}

/// Asks for connections, is offered one, and does not take it in time.
fn hang(part: &Shared) {
    ask(part);
    turn(part);
    assert!(matches!(state(part), DoorState::Offered(Some(_))), "{:?}", state(part));
    std::thread::sleep(ANSWER);
    time_out(part);
    assert_eq!(state(part), DoorState::Offered(None));
}

#[test]
fn a_ring_reaches_all_also_where_the_ringer_hears_it_first() {
    let fleet = Fleet::new(4);
    let [ringer, sleepers @ ..] = &fleet.parts[..] else { unreachable!("there are four") };
    for sleeper in sleepers {
        (0..3).for_each(|_| sleeper.line.opened(monotonic_ms() - 5000));
        ask(sleeper);
        assert_eq!(state(sleeper), DoorState::Asleep);
    }
    let _waiting = fleet.connect();
    hang(ringer);
    (0..3).for_each(|_| turn(ringer));
    for sleeper in sleepers {
        turn(sleeper);
        turn(sleeper);
        assert!(matches!(state(sleeper), DoorState::Offered(Some(_))), "{:?}", state(sleeper));
    }
}
