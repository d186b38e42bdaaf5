use std::time::{Duration, UNIX_EPOCH};

use super::*;

#[test]
fn signals_are_shown_by_their_names_where_those_are_the_same_everywhere() {
    let named = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
        (7, "signal 7"),
    ];
    for (number, name) in named {
        assert_eq!(Exit::Signal(number).to_string(), name);
    }
}

#[test]
fn each_sign_of_readiness_has_a_word_and_a_sentence() {
    let signs = [
        (ReadyBy::Notification, "notification", "READY=1"),
        (ReadyBy::Descriptor, "descriptor", "notification descriptor"),
        (ReadyBy::Message, "message", "its primary"),
        (ReadyBy::Linked, "linked", "links multi-node"),
        (ReadyBy::Http, "http", "over HTTP"),
        (ReadyBy::SocketInUse, "socket_in_use", "waiting for connections"),
        (ReadyBy::Assumed, "assumed", "no readiness signal"),
    ];
    for (sign, word, part) in signs {
        assert_eq!(sign.as_str(), word);
        assert!(sign.to_string().contains(part), "{sign}");
    }
}

#[test]
fn a_program_is_ready_once_as_many_slots_serve_as_are_wanted() {
    let slot = |slot, state| SlotStatus::new(Slot(slot), state, UNIX_EPOCH);
    assert!(Status::of_one(slot(0, State::Serving)).is_ready());
    assert!(!Status::of_one(slot(0, State::Initializing)).is_ready());
    assert!(!Status::default().is_ready(), "a program that wants no node is shutting down");
    let mut two = Status { wanted: 2, ..Status::of_one(slot(0, State::Serving)) };
    two.slots.push(slot(0, State::Serving));
    assert!(!two.is_ready(), "two nodes of one slot are one");
    two.slots.push(slot(1, State::Serving));
    assert!(two.is_ready());
}

#[test]
fn times_are_whole_milliseconds_and_have_no_overflow() {
    assert_eq!([ms(Duration::from_micros(2999)), ms(Duration::MAX)], [2, u64::MAX]);
    assert_eq!(unix_ms(UNIX_EPOCH + Duration::from_secs(7)), 7000);
    assert_eq!(unix_ms(UNIX_EPOCH - Duration::from_secs(7)), 0, "before 1970");
}
