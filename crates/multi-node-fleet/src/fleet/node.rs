//! A node as the rules see it.

use std::time::{Duration, Instant};

use super::recycle::Wear;
use super::{Tally, after};
use crate::id::{Generation, Slot};
use crate::status::Drained;
use crate::status::State;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) slot: Slot,
    pub(super) generation: Generation,
    pub(super) pid: Option<u32>,
    pub(super) state: State,
    pub(super) since: Instant,
    /// When the rules act if the node is in its state still; none while it serves.
    pub(super) deadline: Option<Instant>,
    pub(super) started: Instant,
    pub(super) ready: Option<Instant>,
    /// From when on it has proved itself, if it still serves then.
    pub(super) proved_at: Option<Instant>,
    pub(super) drains_since: Option<Instant>,
    /// When its runtime last gave a sign of life.
    pub(super) heard: Instant,
    /// The last state that it was not killed in.
    pub(super) last_state: State,
    /// Why it ends, where that is known before its exit.
    pub(super) cause: Option<String>,
    /// What another program has not shown yet, as long as it is not ready.
    pub(super) lacks: Option<String>,
    /// Whether another start of it would end as this one does.
    pub(super) hopeless: bool,
    /// Whether it is known to give signs of life, where not all nodes are.
    pub(super) beats: bool,
    /// Whether its end was asked for, so that it is no death.
    pub(super) ordered: bool,
    /// Whether the node announced that it leaves.
    pub(super) left: bool,
    /// Whether it was sent SIGABRT, so that SIGKILL may follow.
    pub(super) aborted: bool,
    pub(super) wear: Wear,
    /// What it has done, as of the last look; `None` before the first, and of a program that does not count.
    pub(super) tally: Option<Tally>,
    /// What happened to its connections, if it has reported that.
    pub(super) drained: Option<Drained>,
}

impl Node {
    pub(super) fn starting(
        slot: Slot,
        generation: Generation,
        now: Instant,
        ready_within: Duration,
        wear: Wear,
    ) -> Node {
        Node {
            slot,
            generation,
            pid: None,
            state: State::Starting,
            since: now,
            deadline: Some(after(now, ready_within)),
            started: now,
            ready: None,
            proved_at: None,
            drains_since: None,
            heard: now,
            last_state: State::Starting,
            cause: None,
            lacks: None,
            hopeless: false,
            beats: false,
            ordered: false,
            left: false,
            aborted: false,
            wear,
            tally: None,
            drained: None,
        }
    }

    pub(super) fn enter(&mut self, state: State, now: Instant, deadline: Option<Instant>) {
        if state != State::Killing {
            self.last_state = state;
        }
        (self.state, self.since, self.deadline) = (state, now, deadline);
    }

    /// On its way to serving, and nothing is known that would keep it from that.
    pub(super) fn is_coming_up(&self) -> bool {
        matches!(self.state, State::Starting | State::Initializing) && self.cause.is_none()
    }

    /// Whether other nodes get a mesh stream to it: from its hello to its exit, also while it drains.
    pub(super) fn is_joinable(&self) -> bool {
        match self.state {
            State::Serving | State::Draining => true,
            State::Initializing => self.cause.is_none(),
            _ => false,
        }
    }

    /// Whether its runtime is expected to give signs of life.
    pub(super) fn is_watched(&self) -> bool {
        self.beats && matches!(self.state, State::Serving | State::Draining)
    }

    pub(super) fn served(&self, now: Instant) -> Duration {
        self.ready.map_or(Duration::ZERO, |ready| now.saturating_duration_since(ready))
    }

    /// Whether its drain was cut short.
    pub(super) fn was_killed_draining(&self) -> bool {
        self.state == State::Killing && self.last_state == State::Draining
    }

    /// The master did not run for so long, and could neither hear nor act.
    pub(super) fn shift(&mut self, by: Duration) {
        self.heard = after(self.heard, by);
        self.proved_at = self.proved_at.map(|due| after(due, by));
        self.deadline = self.deadline.map(|deadline| after(deadline, by));
    }
}
