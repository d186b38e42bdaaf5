//! Reload: every slot's node is replaced by one of a new generation, make before break.

use std::collections::VecDeque;
use std::time::Instant;

use super::canary::Trial;
use super::orders::Running;
use super::turn::Turn;
use super::words::Span;
use super::{Action, Fleet, Level, Node, Ticket, slot_at};
use crate::id::{Generation, NodeId, Slot};
use crate::order::{OrderError, ReloadReport, Report};

#[derive(Debug)]
pub(super) struct Reload {
    pub(super) ticket: Ticket,
    generation: Generation,
    since: Instant,
    /// Whether the master is to be replaced as well.
    upgrade: bool,
    /// Whether the program of the generation has been found, and tried where that is asked for.
    resolved: bool,
    /// Slots whose turn has not come.
    waiting: VecDeque<Slot>,
    turns: Vec<Turn>,
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

    fn all_switched(&self) -> bool {
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
        }
    }
}

impl Fleet {
    pub(super) fn begin_reload(&mut self, now: Instant, ticket: Ticket, upgrade: bool) {
        let generation = self.newest.next();
        let reload = Reload::new(ticket, generation, now, upgrade);
        self.tell_all(Level::Info, format!("{} begins: generation {generation}", reload.name()));
        self.act(Action::Resolve { generation });
        self.order = Some(Running::Reload(reload));
    }

    pub(super) fn resolved_for_reload(&mut self, generation: Generation, result: Result<(), String>) {
        match &self.order {
            Some(Running::Reload(reload)) if reload.resolved || reload.generation != generation => {}
            Some(Running::Reload(reload)) if reload.upgrade && result.is_ok() => {
                self.act(Action::Rehearse { generation });
            }
            Some(Running::Reload(_)) => self.begin_turns(result),
            _ => {}
        }
    }

    /// The new program may be started, or must not be.
    pub(super) fn begin_turns(&mut self, found: Result<(), String>) {
        let slots = (0..self.slots.len()).map(slot_at).collect();
        match (self.order.take(), found) {
            (Some(Running::Reload(mut reload)), Ok(())) => {
                (reload.resolved, reload.waiting) = (true, slots);
                self.newest = reload.generation;
                self.order = Some(Running::Reload(reload));
            }
            (Some(Running::Reload(reload)), Err(why)) => self.reload_failed(&reload, OrderError::Failed { why }),
            (other, _) => self.order = other,
        }
    }

    pub(super) fn advance_reload(&mut self, now: Instant, mut reload: Reload) {
        if let Err(why) = self.advance_trial(now, &mut reload) {
            return self.stop_reload(now, &reload, why);
        }
        let on_trial = self.policy.canary.is_some() && !reload.trial.is_over();
        if !on_trial {
            for turn in &mut reload.turns {
                self.advance_turn(now, turn);
            }
        }
        let at_once = if on_trial { 1 } else { self.policy.surge.max(1) };
        while reload.under_way() < at_once {
            let Some(slot) = reload.waiting.pop_front() else {
                break;
            };
            let turn = self.begin_turn(now, slot, reload.generation);
            reload.turns.push(turn);
        }
        match reload.all_switched() && reload.turns.iter().all(|turn| self.is_over(turn)) {
            true => self.reload_done(now, &reload),
            false => self.order = Some(Running::Reload(reload)),
        }
    }

    fn reload_done(&mut self, now: Instant, reload: &Reload) {
        self.current = reload.generation;
        let report = reload.report(now);
        if reload.upgrade {
            return self.depart(reload.ticket, report);
        }
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
        match reload.trial.watched() {
            Some(_) => self.reload_failed(reload, OrderError::RolledBack { why }),
            None => self.reload_failed(reload, OrderError::Failed { why }),
        }
    }

    /// Whether nodes of this generation may be started, now or later.
    pub(crate) fn starts(&self, generation: Generation) -> bool {
        self.current == generation
            || self.slots.iter().any(|slot| slot.generation == generation)
            || self.reload().is_some_and(|reload| reload.generation == generation)
    }

    pub(super) fn reload(&self) -> Option<&Reload> {
        match &self.order {
            Some(Running::Reload(reload)) => Some(reload),
            _ => None,
        }
    }

    fn reload_failed(&mut self, reload: &Reload, refusal: OrderError) {
        self.tell_all(Level::Error, format!("{} failed: {refusal}", reload.name()));
        self.answer(reload.ticket, Err(refusal));
    }
}
