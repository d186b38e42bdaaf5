//! Signals by command: passed on at once, also during other commands.

use super::super::{Action, Fleet, Ticket};
use crate::command::{CommandError, Report};
use crate::id::{NodeId, Slot};

impl Fleet {
    pub(super) fn asked_signal(&mut self, ticket: Ticket, slot: Option<Slot>, signal: i32) {
        let slots = self.slots.len();
        if let Some(slot) = slot.filter(|slot| slot.index() >= slots) {
            return self.answer(ticket, Err(CommandError::NoSuchSlot { slot, slots }));
        }
        let meant: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.pid.is_some() && slot.is_none_or(|slot| node.slot == slot))
            .map(|(&id, _)| id)
            .collect();
        let nodes = meant.len();
        meant.into_iter().for_each(|id| self.act(Action::Forward { id, signal }));
        self.answer(ticket, Ok(Report::Signal { nodes }));
    }
}
