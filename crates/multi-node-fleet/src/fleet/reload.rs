//! Reload: every slot's node is replaced by one of a new generation, make before break.

use std::collections::VecDeque;
use std::time::Instant;

use super::canary::Trial;
use super::commands::Running;
use super::draining::Draining;
use super::format::Span;
use super::turn::Turn;
use super::{Action, Fleet, Level, Node, Ticket, slot_at};
use crate::command::{CommandError, ReloadReport, Report};
use crate::id::{Generation, NodeId, Slot};

#[derive(Debug)]
pub(super) struct Reload {
    pub(super) ticket: Ticket,
    generation: Generation,
    since: Instant,
    /// Whether the master is replaced as well.
    pub(super) upgrade: bool,
    /// Whether the program of the generation has been found, and tried where that is asked for.
    resolved: bool,
    /// Slots whose turn has not come.
    waiting: VecDeque<Slot>,
    pub(super) turns: Vec<Turn>,
    pub(super) trial: Trial,
}

impl Reload {
    fn new(ticket: Ticket, generation: Generation, since: Instant, upgrade: bool) -> Reload {
        let (waiting, turns, trial) = (VecDeque::new(), Vec::new(), Trial::Ahead);
        Reload { ticket, generation, since, upgrade, resolved: false, waiting, turns, trial }
    }

    pub(super) fn name(&self) -> &'static str {
        if self.upgrade { "upgrade" } else { "reload" }
    }

    /// Whether the program of this generation is being tried.
    pub(super) fn rehearses(&self, generation: Generation) -> bool {
        self.upgrade && !self.resolved && self.generation == generation
    }

    /// Whether the reload fails if this node dies: a new one, while not all slots have theirs.
    pub(super) fn stands_on(&self, id: NodeId) -> bool {
        !self.all_switched() && self.turns.iter().any(|turn| turn.new_node() == Some(id))
    }

    pub(super) fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        self.turns.iter_mut().for_each(|turn| turn.note_drained(now, id, node));
    }

    /// The new node of the first slot, and its old one.
    pub(super) fn first(&self) -> Option<(NodeId, Option<NodeId>)> {
        let turn = self.turns.first()?;
        Some((turn.new_node()?, turn.old_node()))
    }

    pub(super) fn first_is(&self, id: NodeId) -> bool {
        self.first().is_some_and(|(new, _)| new == id)
    }

    pub(super) fn all_switched(&self) -> bool {
        self.resolved && self.waiting.is_empty() && self.turns.iter().all(Turn::is_switched)
    }

    fn under_way(&self) -> usize {
        self.turns.iter().filter(|turn| !turn.is_switched()).count()
    }

    fn report(&self, now: Instant) -> ReloadReport {
        ReloadReport {
            generation: self.generation,
            slots: self.turns.iter().filter_map(Turn::report).collect(),
            took: now.saturating_duration_since(self.since),
            canary: self.trial.report(),
            not_applied: Vec::new(),
            certificate_errors: Vec::new(),
        }
    }
}

impl Fleet {
    pub(super) fn begin_reload(&mut self, now: Instant, ticket: Ticket, upgrade: bool) {
        let generation = self.newest.next();
        let reload = Reload::new(ticket, generation, now, upgrade);
        self.tell_all(Level::Info, format!("{} begins: generation {generation}", reload.name()));
        self.act(Action::Resolve { generation });
        self.command = Some(Running::Reload(reload));
    }

    pub(super) fn resolved_for_reload(&mut self, generation: Generation, result: Result<(), String>) {
        match &self.command {
            Some(Running::Reload(reload)) if reload.resolved || reload.generation != generation => {}
            Some(Running::Reload(reload)) if reload.upgrade && result.is_ok() => {
                self.act(Action::Preflight { generation });
            }
            Some(Running::Reload(_)) => self.begin_turns(result),
            _ => {}
        }
    }

    /// The new program may be started, or must not be.
    pub(super) fn begin_turns(&mut self, found: Result<(), String>) {
        let slots = (0..self.slots.len()).map(slot_at).collect();
        match (self.command.take(), found) {
            (Some(Running::Reload(mut reload)), Ok(())) => {
                (reload.resolved, reload.waiting) = (true, slots);
                self.newest = reload.generation;
                self.command = Some(Running::Reload(reload));
            }
            (Some(Running::Reload(reload)), Err(why)) => {
                let refusal = self.failed_command(why);
                self.reload_failed(&reload, refusal);
            }
            (other, _) => self.command = other,
        }
    }

    pub(super) fn advance_reload(&mut self, now: Instant, mut reload: Reload) {
        if let Err(why) = self.advance_trial(now, &mut reload) {
            return self.stop_reload(now, &reload, why);
        }
        let on_trial = self.is_on_trial(&reload);
        if !on_trial {
            if let Some(why) = reload.turns.iter().find_map(|turn| self.forsakes(turn)) {
                return self.stop_reload(now, &reload, why);
            }
            self.advance_turns(now, &mut reload);
        }
        let at_once = match (on_trial, self.policy.rolling) {
            (true, _) => 1,
            (false, true) => self.policy.surge.max(1),
            (false, false) => usize::MAX,
        };
        while reload.under_way() < at_once {
            let Some(slot) = reload.waiting.pop_front() else {
                break;
            };
            let turn = self.begin_turn(now, slot, reload.generation);
            reload.turns.push(turn);
        }
        match reload.all_switched() {
            true => self.reload_switched(now, reload),
            false => self.command = Some(Running::Reload(reload)),
        }
    }

    fn is_on_trial(&self, reload: &Reload) -> bool {
        self.policy.canary.is_some() && !reload.trial.is_over()
    }

    /// Slots switch one by one as their new nodes prove themselves, or all together once all have.
    fn advance_turns(&mut self, now: Instant, reload: &mut Reload) {
        let together = !self.policy.rolling;
        if together && !(reload.waiting.is_empty() && self.all_have_proved(now, &reload.turns)) {
            return;
        }
        if together {
            let (generation, nodes) = (reload.generation, reload.turns.len());
            self.tell_all(Level::Info, format!("generation {generation} has proved itself: {nodes} new nodes serve"));
        }
        for turn in &mut reload.turns {
            self.advance_turn(now, turn);
        }
    }

    fn all_have_proved(&mut self, now: Instant, turns: &[Turn]) -> bool {
        !turns.is_empty() && turns.iter().all(|turn| turn.unproved().is_some_and(|new| self.has_proved(now, new)))
    }

    /// When new nodes will have proved themselves that have not yet.
    pub(super) fn proving_due(&self) -> Option<Instant> {
        match &self.command {
            Some(Running::Reload(reload)) if self.is_on_trial(reload) || !reload.resolved => None,
            Some(Running::Reload(reload)) => self.proved_at(&reload.turns, !self.policy.rolling),
            Some(Running::Replace(replace)) => self.proved_at(std::slice::from_ref(&replace.turn), false),
            Some(Running::Scale(_) | Running::ExecRequest(_)) | None => None,
        }
    }

    /// Every slot has its new node; what is left are drains, and for an upgrade the master.
    fn reload_switched(&mut self, now: Instant, reload: Reload) {
        self.current = reload.generation;
        if !reload.upgrade {
            return self.draining.push(Draining::Reload(reload));
        }
        // This program has to answer the clients that wait for an older drain. And if no node is left, nothing continues.
        let drained = self.draining.is_empty() && reload.turns.iter().all(|turn| self.is_over(turn));
        if drained && !self.nodes.is_empty() {
            return self.depart(reload.ticket, reload.report(now));
        }
        self.command = Some(Running::Reload(reload));
    }

    pub(super) fn reload_done(&mut self, now: Instant, reload: &Reload) {
        let report = reload.report(now);
        self.tell_all(Level::Info, format!("reload done: {report}"));
        self.answer(reload.ticket, Ok(Report::Reload(report)));
    }

    /// Keeps what serves, ends what was still to come.
    pub(super) fn stop_reload(&mut self, now: Instant, reload: &Reload, why: String) {
        self.end_trial(reload);
        for turn in &reload.turns {
            self.abandon_turn(now, turn);
        }
        let switched = reload.turns.iter().filter(|turn| turn.is_switched()).count();
        let after = Span(now.saturating_duration_since(reload.since));
        self.tell_all(Level::Error, format!("{} stopped after {after}, with {switched} slots done", reload.name()));
        let refusal = match reload.trial.watched() {
            Some(_) => CommandError::RolledBack { why, serving: self.who_serves() },
            None => self.failed_command(why),
        };
        self.reload_failed(reload, refusal);
    }

    /// Whether nodes of this generation may be started, now or later.
    pub fn starts(&self, generation: Generation) -> bool {
        self.current == generation
            || self.slots.iter().any(|slot| slot.generation == generation)
            || self.reload().is_some_and(|reload| reload.generation == generation)
    }

    pub(super) fn reload(&self) -> Option<&Reload> {
        match &self.command {
            Some(Running::Reload(reload)) => Some(reload),
            _ => None,
        }
    }

    fn reload_failed(&mut self, reload: &Reload, refusal: CommandError) {
        self.tell_all(Level::Error, format!("{} failed: {refusal}", reload.name()));
        self.answer(reload.ticket, Err(refusal));
    }
}
