//! Upgrade: the new program is tried in a child, then every slot is reloaded to it, then it takes the master's place.

use super::commands::Running;
use super::{Action, Fleet, Level, Ticket};
use crate::command::{CommandError, ReloadReport};
use crate::id::Generation;

/// All slots serve the new program, and the master is about to be replaced. Who comes after it does not get here.
#[derive(Debug)]
pub(super) struct ExecRequest {
    pub(super) ticket: Ticket,
}

impl Fleet {
    /// The result of the preflight: the new program has run as far as `listen` and could continue from here, or not.
    pub(super) fn preflighted(&mut self, generation: Generation, result: Result<(), String>) {
        match &self.command {
            Some(Running::Reload(reload)) if reload.rehearses(generation) => self.begin_turns(result),
            _ => {}
        }
    }

    /// The nodes are done: what is left of an upgrade is the master.
    pub(super) fn depart(&mut self, ticket: Ticket, reload: ReloadReport) {
        self.tell_all(Level::Info, format!("upgrade: {reload}; the master follows"));
        self.act(Action::Exec { reload });
        self.command = Some(Running::ExecRequest(ExecRequest { ticket }));
    }

    /// The master is still the old one.
    pub(super) fn stayed(&mut self, why: String) {
        match self.command.take() {
            Some(Running::ExecRequest(ExecRequest { ticket })) => {
                let refusal = CommandError::MasterStays { why };
                self.tell_all(Level::Error, format!("upgrade failed: {refusal}"));
                self.answer(ticket, Err(refusal));
            }
            other => self.command = other,
        }
    }
}
