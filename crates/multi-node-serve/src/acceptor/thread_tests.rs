//! Processes' parts without their threads, so that the test decides whose turn it is.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use multi_node_sys::epoll::monotonic_ms;

use super::super::queue::{ANSWER, ListenerState, Shared, wake_fd};
use crate::load::LoadTable;

/// No test takes longer; it is the limit of waiting, not of passing.
const LIMIT: Duration = Duration::from_secs(30);

struct Fleet {
    listener: TcpListener,
    parts: Vec<Shared>,
}

impl Fleet {
    fn new(parts: usize) -> Fleet {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("a socket can be");
        let (load, wake_fd) = (LoadTable::on_heap(parts), wake_fd().expect("an eventfd"));
        let clone = |file: &OwnedFd| file.try_clone().expect("files are left");
        let parts = (0..parts).map(|index| {
            let line = load.line(index).expect("there is one");
            line.begin_serving(monotonic_ms());
            let file = listener.as_fd().try_clone_to_owned().expect("files are left");
            Shared::new(load.clone(), line, clone(&wake_fd), vec![file]).expect("it can wait")
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

fn hears_nothing(part: &Shared) -> bool {
    part.epoll.wait(Some(Duration::ZERO)).expect("it can wait").count() == 0
}

/// What the thread does when its timer has run out.
fn time_out(part: &Shared) {
    part.woken(std::iter::empty(), &mut Vec::new());
}

fn ask(part: &Shared) {
    part.ask(&mut part.lock(), 0);
}

fn state(part: &Shared) -> ListenerState {
    part.lock().listeners[0].state
}

/// Asks for connections, is offered one, and does not take it in time.
fn hang(part: &Shared) {
    ask(part);
    turn(part);
    assert!(matches!(state(part), ListenerState::Offered(Some(_))), "{:?}", state(part));
    std::thread::sleep(ANSWER);
    time_out(part);
    assert_eq!(state(part), ListenerState::Offered(None));
}

#[test]
fn a_wake_up_reaches_all_also_where_the_ringer_hears_it_first() {
    let fleet = Fleet::new(4);
    let [ringer, sleepers @ ..] = &fleet.parts[..] else { unreachable!("there are four") };
    for sleeper in sleepers {
        (0..3).for_each(|_| sleeper.line.opened(monotonic_ms() - 5000));
        ask(sleeper);
        assert_eq!(state(sleeper), ListenerState::Asleep);
    }
    let _waiting = fleet.connect();
    hang(ringer);
    (0..3).for_each(|_| turn(ringer));
    for sleeper in sleepers {
        turn(sleeper);
        turn(sleeper);
        assert!(matches!(state(sleeper), ListenerState::Offered(Some(_))), "{:?}", state(sleeper));
    }
}

/// A fleet whose first part alone was woken for a connection, and was stopped right then.
fn stopped_when_woken(parts: usize) -> (Fleet, TcpStream) {
    (1..=100)
        .find_map(|attempt| {
            let fleet = Fleet::new(parts);
            fleet.parts.iter().for_each(ask);
            fleet.parts.iter().for_each(turn);
            // The kernel wakes only one, once that one waits, which takes its thread a moment.
            let waiting = std::thread::scope(|scope| {
                let woken = scope.spawn(|| fleet.parts[0].epoll.wait(Some(LIMIT)).expect("it can wait").count());
                std::thread::sleep(Duration::from_millis(attempt));
                let waiting = fleet.connect();
                assert_eq!(woken.join().expect("no panic"), 1);
                waiting
            });
            let alone = fleet.parts[1..].iter().all(hears_nothing);
            alone.then_some((fleet, waiting))
        })
        .expect("in one of a hundred attempts it waits in time")
}

#[test]
fn a_connection_is_found_whose_acceptor_was_stopped_when_it_was_woken() {
    let (fleet, _waiting) = stopped_when_woken(3);
    for part in &fleet.parts[1..] {
        assert_eq!(state(part), ListenerState::Queued);
        part.look_again();
        turn(part);
        assert!(matches!(state(part), ListenerState::Offered(Some(_))), "{:?}", state(part));
    }
}

#[test]
fn a_look_at_a_queue_in_which_nothing_waits_wakes_nobody() {
    let fleet = Fleet::new(3);
    fleet.parts.iter().for_each(ask);
    fleet.parts.iter().for_each(turn);
    let wakes = || fleet.parts.iter().map(|part| part.lock().wakes).collect::<Vec<_>>();
    let before = wakes();
    fleet.parts.iter().for_each(Shared::look_again);
    fleet.parts.iter().for_each(turn);
    assert_eq!(wakes(), before);
}
