//! Commands: one at a time, each answered exactly once.

mod signal;

use std::time::Instant;

use super::draining::{Draining, Next};
use super::reload::Reload;
use super::replace::{Cause, Replace};
use super::scale::Scale;
use super::turn::Turn;
use super::upgrade::ExecRequest;
use super::{Fleet, FleetPhase, Level, MAX_SLOTS, Ticket};
use crate::command::{Command, CommandError};
use crate::id::NodeId;
use crate::status::State;

/// The command that is being carried out.
#[derive(Debug)]
pub(super) enum Running {
    Reload(Reload),
    Replace(Replace),
    Scale(Scale),
    ExecRequest(ExecRequest),
}

impl Running {
    fn name(&self) -> &'static str {
        match self {
            Running::Reload(reload) => reload.name(),
            Running::Replace(replace) => replace.name(),
            Running::Scale(_) => "scale",
            Running::ExecRequest(_) => "upgrade",
        }
    }

    /// Who waits for the answer. `None` for recycling, which no command asked for.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Running::Reload(reload) => Some(reload.ticket),
            Running::Replace(replace) => replace.ticket(),
            Running::Scale(scale) => Some(scale.ticket),
            Running::ExecRequest(departure) => Some(departure.ticket),
        }
    }
}

/// Which running command fails if a certain node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dependent {
    Reload,
    Replace,
    Scale,
    Nothing,
}

impl Fleet {
    pub(super) fn asked(&mut self, now: Instant, ticket: Ticket, command: Command) {
        if let Command::Shutdown { now: at_once } = command {
            return self.asked_shutdown(now, ticket, at_once);
        }
        if let Command::Signal { slot, signal } = command {
            return self.asked_signal(ticket, slot, signal);
        }
        if let Err(refusal) = self.admit(command) {
            return self.answer(ticket, Err(refusal));
        }
        self.put_off_recycling(now);
        match command {
            Command::Reload => self.asked_reload(now, Next { ticket, upgrade: false, now: false }),
            Command::ReloadNow => self.asked_reload(now, Next { ticket, upgrade: false, now: true }),
            Command::Upgrade => self.asked_reload(now, Next { ticket, upgrade: true, now: false }),
            Command::Restart { slot } => {
                self.tell_all(Level::Info, format!("slot {slot} is restarted"));
                self.begin_replace(now, slot, Cause::Asked(ticket));
            }
            Command::Scale { nodes } => self.begin_scale(now, ticket, nodes),
            Command::Shutdown { .. } | Command::Signal { .. } => {}
        }
    }

    fn admit(&self, command: Command) -> Result<(), CommandError> {
        let max = self.policy.max_nodes.min(MAX_SLOTS);
        match (&self.course, command) {
            (FleetPhase::Stopping(_) | FleetPhase::Over, _) => Err(CommandError::ShuttingDown),
            (_, Command::Scale { nodes }) if nodes == 0 || nodes > max => {
                Err(CommandError::OutOfRange { asked: nodes, max })
            }
            (_, Command::Scale { nodes }) if nodes > self.policy.room_for => {
                Err(CommandError::OpenFiles { asked: nodes, max: self.policy.room_for })
            }
            (_, Command::Restart { slot }) if slot.index() >= self.slots.len() => {
                Err(CommandError::NoSuchSlot { slot, slots: self.slots.len() })
            }
            (FleetPhase::Unstarted | FleetPhase::Resolving, _) => {
                Err(CommandError::Busy { running: String::from("start") })
            }
            (FleetPhase::Running, _) => match self.hinders(command) {
                Some(running) => Err(CommandError::Busy { running: running.to_owned() }),
                None => Ok(()),
            },
        }
    }

    /// What has to end before this command may start. A reload that comes during another one waits.
    fn hinders(&self, command: Command) -> Option<&'static str> {
        let reloads = matches!(command, Command::Reload | Command::ReloadNow | Command::Upgrade);
        match (&self.command, command) {
            _ if reloads && self.next.is_some_and(|next| next.upgrade) => Some("upgrade"),
            (Some(Running::Reload(reload)), _) if reloads && !reload.upgrade => None,
            (Some(running), _) if running.ticket().is_some() => Some(running.name()),
            (_, Command::Restart { slot }) if self.drains_restarted(slot) => Some("restart"),
            _ => None,
        }
    }

    /// Takes the running command as far as the nodes' states allow.
    pub(super) fn advance_command(&mut self, now: Instant) {
        self.answer_drained(now);
        match self.command.take() {
            Some(Running::Reload(reload)) => self.advance_reload(now, reload),
            Some(Running::Replace(replace)) => self.advance_replace(now, replace),
            Some(Running::Scale(scale)) => self.advance_scale(scale),
            // What follows comes from the loop.
            other @ (Some(Running::ExecRequest(_)) | None) => self.command = other,
        }
        self.answer_drained(now);
        self.begin_next(now);
    }

    /// Whether the node is ready and does not drain.
    pub fn serves(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.state == State::Serving)
    }

    /// Whether the node is a new one that has to prove itself before it gets its slot.
    pub fn has_to_prove_itself(&self, id: NodeId) -> bool {
        let unproved = |turn: &Turn| turn.unproved() == Some(id);
        match &self.command {
            Some(Running::Reload(reload)) => reload.turns.iter().any(unproved),
            Some(Running::Replace(replace)) => unproved(&replace.turn),
            Some(Running::Scale(_) | Running::ExecRequest(_)) | None => false,
        }
    }

    pub(super) fn dependent_on(&self, id: NodeId) -> Dependent {
        match &self.command {
            Some(Running::Reload(reload)) if reload.stands_on(id) => Dependent::Reload,
            Some(Running::Replace(replace)) if replace.stands_on(id) => Dependent::Replace,
            Some(Running::Scale(scale)) if scale.started(id) => Dependent::Scale,
            _ => Dependent::Nothing,
        }
    }

    /// The node is dead, or as good as dead: the command that stands on it has failed.
    pub(super) fn fail_command_of(&mut self, now: Instant, id: NodeId, why: String) {
        if self.dependent_on(id) == Dependent::Nothing {
            return;
        }
        match self.command.take() {
            Some(Running::Reload(reload)) => self.stop_reload(now, &reload, why),
            Some(Running::Replace(replace)) => self.stop_replace(now, &replace, why),
            Some(Running::Scale(scale)) => self.undo_scale(now, &scale, why),
            other @ (Some(Running::ExecRequest(_)) | None) => self.command = other,
        }
    }

    /// A shutdown, or the end of all nodes, came first.
    pub(super) fn overtake_command(&mut self) {
        let running = self.command.take();
        if let Some(Running::Reload(reload)) = &running {
            self.end_trial(reload);
        }
        let draining = std::mem::take(&mut self.draining);
        let waits = self.next.take().map(|next| next.ticket);
        let tickets = running.as_ref().and_then(Running::ticket).into_iter();
        for ticket in tickets.chain(draining.iter().filter_map(Draining::ticket)).chain(waits) {
            self.answer(ticket, Err(CommandError::ShuttingDown));
        }
    }

    /// The answer to a failed command. It names the nodes that serve now.
    pub(super) fn failed_command(&self, why: String) -> CommandError {
        CommandError::Failed { why, serving: self.who_serves() }
    }
}
