//! Who has a connection: its own task, or the thread that offers it to other processes. Pure.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

/// Its task has a turn: it reads, writes and closes.
const BUSY: u8 = 0;
/// It rests before its next request. Who changes this first has it.
const IDLE: u8 = 1;
/// The thread has it, and its task waits.
const CLAIMED: u8 = 2;
/// Another process has it. Its task drops it.
const GIVEN: u8 = 3;

/// Who has a connection.
///
/// Why it never has two readers: the task reads between [`begin_turn`](Claim::begin_turn) that said [`Holder::Task`] and
/// [`rest`](Claim::rest), so in the state `BUSY`. Another process reads once it was offered the connection, so after
/// [`claim`](Claim::claim) that said true, in the states `CLAIMED` and `GIVEN`. From `IDLE` one of the two gets away, since both leave it
/// by a compare-and-exchange. From `CLAIMED` the thread alone gets away, back to `IDLE` only when no process has the connection, and
/// nothing leaves `GIVEN`. The test below goes through all orders.
#[derive(Debug, Default)]
pub(super) struct Claim(AtomicU8);

/// Who has a connection when a turn of its task begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The task.
    Task,
    /// The thread, which wakes the task when it knows more.
    Thread,
    /// Another process.
    Other,
}

impl Claim {
    /// A turn of the task begins.
    pub(super) fn begin_turn(&self) -> Holder {
        match self.0.compare_exchange(IDLE, BUSY, AcqRel, Acquire) {
            Ok(_) | Err(BUSY) => Holder::Task,
            Err(CLAIMED) => Holder::Thread,
            Err(_) => Holder::Other,
        }
    }

    /// The task's turn ends, and the thread may take the connection until the next one begins.
    pub(super) fn rest(&self) {
        self.0.store(IDLE, Release);
    }

    /// The thread takes the connection, if it rests.
    pub(super) fn claim(&self) -> bool {
        self.0.compare_exchange(IDLE, CLAIMED, AcqRel, Acquire).is_ok()
    }

    /// Another process has taken what was claimed.
    pub(super) fn give(&self) {
        self.0.store(GIVEN, Release);
    }

    /// No process has taken what was claimed.
    pub(super) fn give_back(&self) {
        self.0.store(IDLE, Release);
    }

    pub(super) fn rests(&self) -> bool {
        self.0.load(Acquire) == IDLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who may do what next. Each of these calls is one atomic step, so that all orders of them are all there is.
    #[derive(Clone, Copy, Debug, Default)]
    struct Steps {
        /// The task has a turn, and reads.
        turn: bool,
        /// The thread has offered the connection, and another process may read.
        offered: bool,
        given: bool,
    }

    fn claim_in(state: u8) -> Claim {
        Claim(AtomicU8::new(state))
    }

    /// Goes on in every order from here, for this number of steps.
    fn explore(state: u8, steps: Steps, left: usize, seen: &mut usize) {
        assert!(!(steps.turn && (steps.offered || steps.given)), "two readers: {steps:?} in state {state}");
        *seen += 1;
        let Some(left) = left.checked_sub(1) else { return };
        let mut then = |claim: Claim, steps| explore(claim.0.into_inner(), steps, left, seen);
        // The task.
        let claim = claim_in(state);
        match (steps.turn, steps.turn.then(|| claim.rest())) {
            (true, _) => then(claim, Steps { turn: false, ..steps }),
            (false, _) => {
                let turn = claim.begin_turn() == Holder::Task;
                then(claim, Steps { turn, ..steps });
            }
        }
        // The thread.
        if steps.offered {
            let (claim, back) = (claim_in(state), claim_in(state));
            claim.give();
            then(claim, Steps { offered: false, given: true, ..steps });
            back.give_back();
            then(back, Steps { offered: false, ..steps });
        } else {
            let claim = claim_in(state);
            let offered = claim.claim();
            then(claim, Steps { offered, ..steps });
        }
    }

    #[test]
    fn in_no_order_has_a_connection_two_readers() {
        let mut seen = 0;
        // A connection is lent in a turn of its task.
        explore(BUSY, Steps { turn: true, ..Steps::default() }, 14, &mut seen);
        assert!(seen > 10_000, "all orders of 14 steps: {seen}");
    }

    #[test]
    fn a_task_goes_on_with_what_came_back_and_never_with_what_was_given() {
        let claim = Claim::default();
        assert!(!claim.claim(), "its task has a turn");
        claim.rest();
        assert!(claim.claim() && !claim.claim());
        assert_eq!(claim.begin_turn(), Holder::Thread);
        claim.give_back();
        assert_eq!(claim.begin_turn(), Holder::Task);
        claim.rest();
        assert!(claim.claim());
        claim.give();
        assert_eq!(claim.begin_turn(), Holder::Other);
        assert!(!claim.claim() && !claim.rests());
    }
}
