//! One slot's turn: its node is replaced by another, make before break.

use std::time::{Duration, Instant};

use super::slot::Filled;
use super::{Action, Fleet, Node, after};
use crate::command::Replacement;
use crate::id::{Generation, NodeId, Slot};
use crate::status::Drained;
use crate::status::State;

/// How long a node may take to show that it does not hang, before that is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What happens to one slot.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) slot: Slot,
    /// What the new node runs.
    generation: Generation,
    step: Step,
    old: Option<NodeId>,
    to_ready: Duration,
    drain: Drain,
    /// Whether the old node was stopped first, so that the slot must be filled again should the new one fail.
    emptied: bool,
}

/// How the old node came to its end.
#[derive(Clone, Copy, Debug, Default)]
struct Drain {
    took: Duration,
    killed: bool,
    said: Option<Drained>,
    aborted: Option<u64>,
    requests_failed: Option<u64>,
}

impl Drain {
    /// Of a node that has ended.
    fn of(now: Instant, node: &Node) -> Drain {
        Drain {
            took: node.drains_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            killed: node.was_killed_draining(),
            said: node.drained,
            aborted: node.drained.map(|drained| drained.aborted).or(node.tally.map(|tally| tally.open)),
            requests_failed: node.tally.map(|tally| tally.unanswered),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The old node drains, and the new one is not started before it has ended (`surge` 0).
    Emptying,
    /// The new node is not ready yet.
    Starting { new: NodeId },
    /// The new node has the slot; the old one drains or has ended.
    Switched { new: NodeId },
}

impl Turn {
    pub(super) fn new_node(&self) -> Option<NodeId> {
        match self.step {
            Step::Emptying => None,
            Step::Starting { new } | Step::Switched { new } => Some(new),
        }
    }

    /// The new node, as long as it has not taken the slot.
    pub(super) fn unproved(&self) -> Option<NodeId> {
        self.new_node().filter(|_| !self.is_switched())
    }

    pub(super) fn old_node(&self) -> Option<NodeId> {
        self.old
    }

    pub(super) fn is_switched(&self) -> bool {
        matches!(self.step, Step::Switched { .. })
    }

    pub(super) fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        if self.old == Some(id) {
            self.drain = Drain::of(now, node);
        }
    }

    pub(super) fn report(&self) -> Option<Replacement> {
        let new = self.new_node()?;
        let Drain { took, killed, said, aborted, requests_failed } = self.drain;
        Some(Replacement {
            slot: self.slot,
            old: self.old,
            new,
            to_ready: self.to_ready,
            drain: took,
            killed,
            finished: said.map(|drained| drained.finished),
            handed_off: said.map(|drained| drained.handed_off),
            kept: said.map(|drained| drained.kept),
            kept_closed: said.map(|drained| drained.kept_closed),
            aborted,
            requests_failed,
        })
    }
}

impl Fleet {
    pub(super) fn begin_turn(&mut self, now: Instant, slot: Slot, generation: Generation) -> Turn {
        let old = self.slot_mut(slot).and_then(|record| record.holder());
        let (step, to_ready, drain) = (Step::Emptying, Duration::ZERO, Drain::default());
        let mut turn = Turn { slot, generation, step, old, to_ready, drain, emptied: false };
        match old {
            Some(old) if self.policy.surge == 0 && self.policy.rolling => {
                turn.emptied = true;
                self.dismiss(now, old);
                self.release(now, slot, old);
            }
            _ => self.start_new(now, &mut turn),
        }
        turn
    }

    pub(super) fn advance_turn(&mut self, now: Instant, turn: &mut Turn) {
        match turn.step {
            Step::Emptying if !self.lives(turn.old) => self.start_new(now, turn),
            Step::Starting { new } if self.has_proved(now, new) => self.switch(now, turn, new),
            Step::Emptying | Step::Starting { .. } | Step::Switched { .. } => {}
        }
    }

    /// Whether the new node has the slot and the old one has ended.
    pub(super) fn is_over(&self, turn: &Turn) -> bool {
        turn.is_switched() && !self.lives(turn.old)
    }

    /// Ends the new node unless it has taken the slot, which its old node keeps.
    pub(super) fn abandon_turn(&mut self, now: Instant, turn: &Turn) {
        if turn.is_switched() {
            return;
        }
        if let Some(new) = turn.new_node() {
            self.dismiss(now, new);
            self.release(now, turn.slot, new);
        }
        self.refill(now, turn);
    }

    fn start_new(&mut self, now: Instant, turn: &mut Turn) {
        let new = self.spawn(now, turn.slot, turn.generation);
        turn.step = Step::Starting { new };
        if let Some(record) = self.slot_mut(turn.slot) {
            record.next = Some(new);
            if record.holder().is_none() {
                // A slot that rests, or that failed, is tried at once.
                record.set(Filled::Empty, now);
            }
        }
    }

    /// Whether the node has served for `settle`. One that may hang is given the time to show that it does not.
    pub(super) fn has_proved(&mut self, now: Instant, id: NodeId) -> bool {
        let serving = self.nodes.get(&id).filter(|node| node.state == State::Serving);
        let Some(node) = serving.filter(|node| node.proved_at.is_some_and(|due| due <= now)) else {
            return false;
        };
        let hangs = self.may_hang(now, node);
        if let Some(node) = self.nodes.get_mut(&id).filter(|_| hangs) {
            node.proved_at = Some(after(now, AGAIN));
        }
        !hangs
    }

    /// Why a new node will not take its slot, though it has not ended.
    pub(super) fn forsakes(&self, turn: &Turn) -> Option<String> {
        let id = turn.unproved()?;
        let node = self.nodes.get(&id).filter(|node| node.state == State::Draining)?;
        Some(format!("{id} in slot {} left by itself before it had proved itself", node.slot))
    }

    /// When the new nodes of these turns will have proved themselves: the next of them, or where `all` is asked for, the last.
    pub(super) fn proved_at(&self, turns: &[Turn], all: bool) -> Option<Instant> {
        let proved_at = |turn: &Turn| {
            let node = self.nodes.get(&turn.unproved()?)?;
            node.proved_at.filter(|_| node.state == State::Serving)
        };
        match all {
            true => turns.iter().map(proved_at).collect::<Option<Vec<_>>>()?.into_iter().max(),
            false => turns.iter().filter_map(proved_at).min(),
        }
    }

    fn switch(&mut self, now: Instant, turn: &mut Turn, new: NodeId) {
        let Some(node) = self.nodes.get(&new) else {
            return;
        };
        turn.to_ready = node.ready.map_or(Duration::ZERO, |ready| ready.saturating_duration_since(node.started));
        turn.step = Step::Switched { new };
        if let Some(record) = self.slot_mut(turn.slot) {
            if record.generation != turn.generation {
                // A new program has a clean record.
                (record.generation, record.history) = (turn.generation, Default::default());
            }
            record.next = None;
            record.set(Filled::By(new), now);
        }
        self.act(Action::Settled { id: new });
        if let Some(old) = turn.old {
            self.dismiss(now, old);
        }
    }

    /// A slot whose old node is gone gets another of its own generation.
    fn refill(&mut self, now: Instant, turn: &Turn) {
        let restart = self.policy.restart || turn.emptied;
        let empty = self.slot_mut(turn.slot).is_some_and(|record| record.filled == Filled::Empty);
        if restart && empty {
            self.fill(now, turn.slot);
        }
    }

    fn lives(&self, id: Option<NodeId>) -> bool {
        id.is_some_and(|id| self.nodes.contains_key(&id))
    }
}
