//! Replacement of one slot's node by another of the same generation.

use std::time::Instant;

use super::orders::Running;
use super::turn::Turn;
use super::{Fleet, Level, Node, Ticket};
use crate::id::{NodeId, Slot};
use crate::order::{OrderError, Report};

#[derive(Debug)]
pub(super) struct Replace {
    pub(super) ticket: Ticket,
    turn: Turn,
}

impl Replace {
    /// Whether the replacement fails if this node dies.
    pub(super) fn stands_on(&self, id: NodeId) -> bool {
        !self.turn.is_switched() && self.turn.new_node() == Some(id)
    }

    pub(super) fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        self.turn.note_drained(now, id, node);
    }
}

impl Fleet {
    pub(super) fn begin_replace(&mut self, now: Instant, slot: Slot, ticket: Ticket) {
        let Some(generation) = self.slot_mut(slot).map(|record| record.generation) else {
            return;
        };
        self.tell_all(Level::Info, format!("slot {slot} is restarted"));
        let turn = self.begin_turn(now, slot, generation);
        self.order = Some(Running::Replace(Replace { ticket, turn }));
    }

    pub(super) fn advance_replace(&mut self, now: Instant, mut replace: Replace) {
        self.advance_turn(now, &mut replace.turn);
        match replace.turn.report().filter(|_| self.is_over(&replace.turn)) {
            Some(report) => {
                self.tell_all(Level::Info, format!("restart done: {report}"));
                self.answer(replace.ticket, Ok(Report::Restart(report)));
            }
            None => self.order = Some(Running::Replace(replace)),
        }
    }

    /// The slot stays with the node that it had.
    pub(super) fn stop_replace(&mut self, now: Instant, replace: &Replace, why: String) {
        self.abandon_turn(now, &replace.turn);
        let refusal = OrderError::Failed { why };
        self.tell_all(Level::Error, format!("restart failed: {refusal}"));
        self.answer(replace.ticket, Err(refusal));
    }
}
