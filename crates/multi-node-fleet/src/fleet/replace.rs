//! Replacement of one slot's node by another of the same generation.

use std::time::Instant;

use super::commands::Running;
use super::draining::Draining;
use super::turn::Turn;
use super::{Fleet, Level, Node, Ticket};
use crate::command::Report;
use crate::id::{NodeId, Slot};

#[derive(Debug)]
pub(super) struct Replace {
    cause: Cause,
    pub(super) turn: Turn,
}

/// Why a slot's node is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// By a command.
    Asked(Ticket),
    /// It is recycled.
    Recycled,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Cause::Asked(_) => "restart",
            Cause::Recycled => "recycling",
        }
    }
}

impl Replace {
    pub(super) fn name(&self) -> &'static str {
        self.cause.name()
    }

    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self.cause {
            Cause::Asked(ticket) => Some(ticket),
            Cause::Recycled => None,
        }
    }

    /// Whether the replacement fails if this node dies.
    pub(super) fn stands_on(&self, id: NodeId) -> bool {
        !self.turn.is_switched() && self.turn.new_node() == Some(id)
    }

    pub(super) fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        self.turn.note_drained(now, id, node);
    }
}

impl Fleet {
    pub(super) fn begin_replace(&mut self, now: Instant, slot: Slot, cause: Cause) {
        let Some(generation) = self.slot_mut(slot).map(|record| record.generation) else {
            return;
        };
        let turn = self.begin_turn(now, slot, generation);
        self.command = Some(Running::Replace(Replace { cause, turn }));
    }

    pub(super) fn advance_replace(&mut self, now: Instant, mut replace: Replace) {
        if let Some(why) = self.forsakes(&replace.turn) {
            return self.stop_replace(now, &replace, why);
        }
        self.advance_turn(now, &mut replace.turn);
        match replace.ticket() {
            Some(_) if replace.turn.is_switched() => self.draining.push(Draining::Restart(replace)),
            None if self.is_over(&replace.turn) => self.replace_done(&replace),
            Some(_) | None => self.command = Some(Running::Replace(replace)),
        }
    }

    /// The new node has the slot, and the old one has ended.
    pub(super) fn replace_done(&mut self, replace: &Replace) {
        let Some(report) = replace.turn.report() else {
            return;
        };
        self.tell_all(Level::Info, format!("{} done: {report}", replace.name()));
        if let Some(ticket) = replace.ticket() {
            self.answer(ticket, Ok(Report::Restart(report)));
        }
    }

    /// The slot stays with the node that it had.
    pub(super) fn stop_replace(&mut self, now: Instant, replace: &Replace, why: String) {
        self.abandon_turn(now, &replace.turn);
        let refusal = self.failed_command(why);
        self.tell_all(Level::Error, format!("{} failed: {refusal}", replace.name()));
        match replace.ticket() {
            Some(ticket) => self.answer(ticket, Err(refusal)),
            None => self.recycle_later(now),
        }
    }

    /// Something else comes first. A new node that has taken the slot keeps it.
    pub(super) fn put_off(&mut self, now: Instant, replace: &Replace) {
        if !replace.turn.is_switched() {
            self.tell_all(Level::Info, format!("{} is put off for a command", replace.name()));
            self.abandon_turn(now, &replace.turn);
        }
    }
}
