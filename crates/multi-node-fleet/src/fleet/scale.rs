//! Scale: more slots, or fewer.

use std::time::Instant;

use super::commands::Running;
use super::{Fleet, Level, SlotRecord, Ticket, slot_at};
use crate::command::{Report, ScaleReport};
use crate::id::NodeId;

#[derive(Debug)]
pub(super) struct Scale {
    pub(super) ticket: Ticket,
    from: usize,
    to: usize,
    /// The first nodes of the slots that were added.
    started: Vec<NodeId>,
}

impl Scale {
    pub(super) fn started(&self, id: NodeId) -> bool {
        self.started.contains(&id)
    }
}

impl Fleet {
    pub(super) fn begin_scale(&mut self, now: Instant, ticket: Ticket, to: usize) {
        let from = self.slots.len();
        self.tell_all(Level::Info, format!("scales from {from} to {to} nodes"));
        self.retire_slots(now, to);
        let started = (from..to).map(|_| self.add_slot(now)).collect();
        self.command = Some(Running::Scale(Scale { ticket, from, to, started }));
    }

    pub(super) fn advance_scale(&mut self, scale: Scale) {
        let coming = scale.started.iter().any(|id| self.nodes.get(id).is_some_and(|node| node.ready.is_none()));
        let going = scale.to < scale.from && self.nodes.values().any(|node| node.slot.index() >= scale.to);
        if coming || going {
            self.command = Some(Running::Scale(scale));
            return;
        }
        let Scale { ticket, from, to, .. } = scale;
        self.tell_all(Level::Info, format!("scaled from {from} to {to} nodes"));
        self.answer(ticket, Ok(Report::Scale(ScaleReport { from, to })));
    }

    pub(super) fn undo_scale(&mut self, now: Instant, scale: &Scale, why: String) {
        self.retire_slots(now, scale.from);
        let refusal = self.failed_command(why);
        self.tell_all(Level::Error, format!("scaling to {} nodes failed: {refusal}", scale.to));
        self.answer(scale.ticket, Err(refusal));
    }

    fn add_slot(&mut self, now: Instant) -> NodeId {
        let slot = slot_at(self.slots.len());
        self.slots.push(SlotRecord::empty(self.current));
        self.fill(now, slot);
        NodeId::node(self.started)
    }

    /// Gives up all slots from this one on.
    fn retire_slots(&mut self, now: Instant, keep: usize) {
        let retired: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| node.slot.index() >= keep).map(|(&id, _)| id).collect();
        for id in retired {
            self.dismiss(now, id);
        }
        self.slots.truncate(keep);
    }
}
