//! What drains: reloads and restarts whose new nodes have all slots. They hinder no other command, and are answered when their
//! last old node has ended. And the reload that waits for its turn.

use std::time::Instant;

use super::commands::Running;
use super::format::{Span, listed};
use super::reload::Reload;
use super::replace::Replace;
use super::turn::Turn;
use super::{Fleet, FleetPhase, Level, Node, Ticket};
use crate::DRAINING_GENERATIONS;
use crate::command::CommandError;
use crate::id::{NodeId, Slot};
use crate::status::State;

/// A further reload waits.
const MOST: usize = DRAINING_GENERATIONS;

/// A command whose old nodes drain.
#[derive(Debug)]
pub(super) enum Draining {
    Reload(Reload),
    Restart(Replace),
}

/// A reload or an upgrade that is to begin as soon as it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) ticket: Ticket,
    pub(super) upgrade: bool,
    /// Whether old nodes whose drain it would wait for are killed.
    pub(super) now: bool,
}

impl Next {
    pub(super) fn name(&self) -> &'static str {
        if self.upgrade { "upgrade" } else { "reload" }
    }
}

impl Draining {
    fn turns(&self) -> &[Turn] {
        match self {
            Draining::Reload(reload) => &reload.turns,
            Draining::Restart(replace) => std::slice::from_ref(&replace.turn),
        }
    }

    fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        match self {
            Draining::Reload(reload) => reload.note_drained(now, id, node),
            Draining::Restart(replace) => replace.note_drained(now, id, node),
        }
    }

    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Draining::Reload(reload) => Some(reload.ticket),
            Draining::Restart(replace) => replace.ticket(),
        }
    }
}

impl Fleet {
    /// Has a reload or an upgrade begin as soon as it may, in place of the one that waited before.
    pub(super) fn asked_reload(&mut self, now: Instant, next: Next) {
        if let Some(before) = self.next.replace(next) {
            self.answer(before.ticket, Err(CommandError::Superseded { by: next.name().to_owned() }));
        }
        self.begin_next(now);
        self.tell_waiting(now);
    }

    /// Begins the reload that waits, where nothing hinders it.
    pub(super) fn begin_next(&mut self, now: Instant) {
        let Some(next) = self.next.filter(|_| self.command.is_none() && matches!(self.course, FleetPhase::Running))
        else {
            return;
        };
        if next.now {
            self.cut_drains(now);
        }
        if self.generations_draining().count() < MOST {
            self.next = None;
            self.begin_reload(now, next.ticket, next.upgrade);
        }
    }

    /// Reports a reload that has to wait.
    fn tell_waiting(&mut self, now: Instant) {
        let Some(next) = self.next else { return };
        let why = match self.waited_for() {
            Some((nodes, until)) => format!(
                "waits for {} to drain, {} at most; `reload --now` does not wait",
                listed(&nodes),
                Span(until.saturating_duration_since(now))
            ),
            None => String::from("waits for the one that is under way"),
        };
        self.tell_all(Level::Info, format!("{} {why}", next.name()));
    }

    /// Whose drain the next reload waits for, and until when at most.
    pub(super) fn waited_for(&self) -> Option<(Vec<NodeId>, Instant)> {
        let generations: Vec<_> = self.generations_draining().collect();
        let first_over = generations.iter().min_by_key(|(_, until)| *until).cloned();
        first_over.filter(|_| self.command.is_none() && generations.len() >= MOST)
    }

    /// Answers those whose last old node has ended.
    pub(super) fn answer_drained(&mut self, now: Instant) {
        let entries = std::mem::take(&mut self.draining).into_iter();
        let (done, rest): (Vec<_>, Vec<_>) =
            entries.partition(|entry| entry.turns().iter().all(|turn| self.is_over(turn)));
        self.draining = rest;
        for entry in done {
            match entry {
                Draining::Reload(reload) => self.reload_done(now, &reload),
                Draining::Restart(replace) => self.replace_done(&replace),
            }
        }
    }

    pub(super) fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        self.draining.iter_mut().for_each(|entry| entry.note_drained(now, id, node));
        match &mut self.command {
            Some(Running::Reload(reload)) => reload.note_drained(now, id, node),
            Some(Running::Replace(replace)) => replace.note_drained(now, id, node),
            Some(Running::Scale(_) | Running::ExecRequest(_)) | None => {}
        }
    }

    /// Whether the old node of a restart of this slot drains still.
    pub(super) fn drains_restarted(&self, slot: Slot) -> bool {
        let restarts = |entry: &Draining| matches!(entry, Draining::Restart(replace) if replace.turn.slot == slot);
        self.draining.iter().any(restarts)
    }

    /// For each reload whose old nodes drain, the oldest first: these, and until when at most.
    fn generations_draining(&self) -> impl Iterator<Item = (Vec<NodeId>, Instant)> {
        let reloads = self.draining.iter().filter(|entry| matches!(entry, Draining::Reload(_)));
        reloads.filter_map(|entry| {
            let old = entry.turns().iter().filter_map(Turn::old_node);
            let draining = |id: &NodeId| self.nodes.get(id).filter(|node| node.state == State::Draining);
            let (ids, until): (Vec<_>, Vec<_>) = old.filter_map(|id| Some((id, draining(&id)?.deadline?))).unzip();
            Some((ids, until.into_iter().max()?))
        })
    }

    /// Ends the wait for the oldest generations, so that another may come.
    fn cut_drains(&mut self, now: Instant) {
        let surplus = (self.generations_draining().count() + 1).saturating_sub(MOST);
        let aborted: Vec<NodeId> = self.generations_draining().take(surplus).flat_map(|(ids, _)| ids).collect();
        for id in aborted {
            let slot = self.nodes[&id].slot;
            let text = "killing it: a reload was ordered that does not wait for its drain";
            self.tell(Level::Warn, slot, id, text.to_owned());
            self.kill(now, id);
        }
    }
}
