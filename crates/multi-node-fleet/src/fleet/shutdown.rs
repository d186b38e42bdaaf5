//! Shutdown: nothing is started any more, and what serves is drained, or killed.

use std::mem;
use std::time::{Duration, Instant};

use super::format::Span;
use super::slot::Filled;
use super::{Fleet, FleetPhase, Level, Ticket, after};
use crate::command::CommandError;
use crate::id::NodeId;
use crate::status::State;

#[derive(Debug)]
pub(super) struct Stopping {
    /// Who wants to know when it is over.
    tickets: Vec<Ticket>,
    /// Until when serving nodes continue to accept.
    drain_at: Option<Instant>,
    outcome: Result<(), String>,
}

impl Stopping {
    pub(super) fn take(&mut self) -> (Vec<Ticket>, Result<(), String>) {
        (mem::take(&mut self.tickets), self.outcome.clone())
    }

    pub(super) fn delay_drain(&mut self, by: Duration) {
        self.drain_at = self.drain_at.map(|due| after(due, by));
    }
}

impl Fleet {
    pub(super) fn asked_shutdown(&mut self, now: Instant, ticket: Ticket, at_once: bool) {
        if matches!(self.course, FleetPhase::Unstarted | FleetPhase::Resolving | FleetPhase::Running) {
            self.stop(now, Ok(()));
        }
        let FleetPhase::Stopping(stopping) = &mut self.course else {
            return self.answer(ticket, Err(CommandError::ShuttingDown));
        };
        stopping.tickets.push(ticket);
        if at_once {
            stopping.drain_at = None;
            self.kill_all(now);
        }
    }

    /// Begins the shutdown. It overtakes any running command.
    pub(super) fn stop(&mut self, now: Instant, outcome: Result<(), String>) {
        self.overtake_command();
        for record in &mut self.slots {
            record.next = None;
            if matches!(record.filled, Filled::BackingOff { .. }) {
                record.set(Filled::Empty, now);
            }
        }
        for id in self.nodes_in(|state| matches!(state, State::Starting | State::Initializing)) {
            self.dismiss(now, id);
        }
        let delay = self.policy.shutdown_delay;
        let serving = self.nodes_in(|state| state == State::Serving).len();
        self.tell_all(Level::Info, shutdown_text(serving, delay));
        let drain_at = (serving > 0).then(|| after(now, delay));
        self.course = FleetPhase::Stopping(Stopping { tickets: Vec::new(), drain_at, outcome });
        if delay.is_zero() {
            self.drain_after_delay(now);
        }
    }

    pub(super) fn drain_due(&self) -> Option<Instant> {
        match &self.course {
            FleetPhase::Stopping(stopping) => stopping.drain_at,
            FleetPhase::Unstarted | FleetPhase::Resolving | FleetPhase::Running | FleetPhase::Over => None,
        }
    }

    pub(super) fn drain_after_delay(&mut self, now: Instant) {
        if self.drain_due().is_none_or(|due| due > now) {
            return;
        }
        if let FleetPhase::Stopping(stopping) = &mut self.course {
            stopping.drain_at = None;
        }
        for id in self.nodes_in(|state| state == State::Serving) {
            self.dismiss(now, id);
        }
    }

    fn kill_all(&mut self, now: Instant) {
        self.tell_all(Level::Warn, format!("shuts down at once: {} nodes are killed", self.nodes.len()));
        for node in self.nodes.values_mut() {
            node.ordered = true;
        }
        for id in self.nodes_in(|_| true) {
            self.kill(now, id);
        }
    }

    fn nodes_in(&self, wanted: impl Fn(State) -> bool) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| wanted(node.state)).map(|(&id, _)| id).collect()
    }
}

fn shutdown_text(serving: usize, delay: Duration) -> String {
    match (serving, delay.is_zero()) {
        (0, _) => String::from("shuts down; no node serves"),
        (_, true) => format!("shuts down; {serving} nodes drain"),
        (_, false) => format!("shuts down; {serving} nodes go on accepting for {} and then drain", Span(delay)),
    }
}
