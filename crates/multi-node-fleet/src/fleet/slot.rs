//! A slot as the rules see it.

use std::time::Instant;

use crate::id::{Generation, NodeId};
use crate::restart::Restarts;
use crate::status::{Exit, State};

/// What a slot holds. Nodes that drain hold their slot no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Empty,
    By(NodeId),
    BackingOff { until: Instant },
    Failed,
}

#[derive(Debug)]
pub(super) struct SlotRecord {
    /// What a restart in this slot runs.
    pub(super) generation: Generation,
    pub(super) filled: Filled,
    /// The new node of a reload or restart, until it is ready and takes the slot.
    pub(super) next: Option<NodeId>,
    /// Since when the slot has been as it is; none before the first node.
    pub(super) since: Option<Instant>,
    pub(super) last: Option<NodeId>,
    pub(super) last_exit: Option<Exit>,
    pub(super) restarts: u64,
    pub(super) history: Restarts,
}

impl SlotRecord {
    pub(super) fn empty(generation: Generation) -> SlotRecord {
        SlotRecord {
            generation,
            filled: Filled::Empty,
            next: None,
            since: None,
            last: None,
            last_exit: None,
            restarts: 0,
            history: Restarts::default(),
        }
    }

    pub(super) fn set(&mut self, filled: Filled, now: Instant) {
        (self.filled, self.since) = (filled, Some(now));
    }

    pub(super) fn holder(&self) -> Option<NodeId> {
        match self.filled {
            Filled::By(id) => Some(id),
            Filled::Empty | Filled::BackingOff { .. } | Filled::Failed => None,
        }
    }

    pub(super) fn rests_until(&self) -> Option<Instant> {
        match self.filled {
            Filled::BackingOff { until } => Some(until),
            Filled::Empty | Filled::By(_) | Filled::Failed => None,
        }
    }

    /// Whether the slot waits neither for a node nor for the time to start one.
    pub(super) fn is_idle(&self) -> bool {
        self.next.is_none() && matches!(self.filled, Filled::Empty | Filled::Failed)
    }

    /// Takes the node out of the slot, in whichever way it was in.
    pub(super) fn release(&mut self, id: NodeId, now: Instant) {
        if self.holder() == Some(id) {
            self.set(Filled::Empty, now);
        }
        if self.next == Some(id) {
            self.next = None;
        }
    }

    /// The slot's state while no process is in it.
    pub(super) fn state_without_node(&self) -> State {
        match self.filled {
            Filled::Empty | Filled::By(_) => State::Empty,
            Filled::BackingOff { .. } => State::BackingOff,
            Filled::Failed => State::Failed,
        }
    }
}
