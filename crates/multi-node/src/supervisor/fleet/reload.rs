//! Reload: every slot's node is replaced by one of a new generation, make before break.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::orders::Running;
use super::slot::Filled;
use super::words::Span;
use super::{Action, Fleet, Level, Node, Ticket, slot_at};
use crate::id::{Generation, NodeId, Slot};
use crate::order::{OrderError, ReloadReport, Report, SlotReload};
use crate::status::State;

#[derive(Debug)]
pub(super) struct Reload {
    pub(super) ticket: Ticket,
    generation: Generation,
    since: Instant,
    /// Whether the program of the generation has been found.
    resolved: bool,
    /// Slots whose turn has not come.
    waiting: VecDeque<Slot>,
    turns: Vec<Turn>,
}

/// What happens to one slot.
#[derive(Debug)]
struct Turn {
    slot: Slot,
    stage: Stage,
    old: Option<NodeId>,
    to_ready: Duration,
    drain: Duration,
    killed: bool,
    /// Whether the old node was stopped first, so that the slot must be filled again should the new one fail.
    emptied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The old node drains, and the new one is not started before it has ended (`surge` 0).
    Emptying,
    /// The new node is not ready yet.
    Starting { new: NodeId },
    /// The new node has the slot; the old one drains or has ended.
    Switched { new: NodeId },
}

impl Stage {
    fn new_node(self) -> Option<NodeId> {
        match self {
            Stage::Emptying => None,
            Stage::Starting { new } | Stage::Switched { new } => Some(new),
        }
    }

    fn is_switched(self) -> bool {
        matches!(self, Stage::Switched { .. })
    }
}

impl Reload {
    /// Whether the reload fails if this node dies: a new one, while not all slots have theirs.
    pub(super) fn stands_on(&self, id: NodeId) -> bool {
        !self.all_switched() && self.turns.iter().any(|turn| turn.stage.new_node() == Some(id))
    }

    pub(super) fn note_drained(&mut self, now: Instant, id: NodeId, node: &Node) {
        if let Some(turn) = self.turns.iter_mut().find(|turn| turn.old == Some(id)) {
            turn.drain = node.drains_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            turn.killed = node.was_killed_draining();
        }
    }

    fn all_switched(&self) -> bool {
        self.resolved && self.waiting.is_empty() && self.turns.iter().all(|turn| turn.stage.is_switched())
    }

    fn under_way(&self) -> usize {
        self.turns.iter().filter(|turn| !turn.stage.is_switched()).count()
    }

    fn report(&self, now: Instant) -> ReloadReport {
        let slot = |turn: &Turn| {
            let new = turn.stage.new_node()?;
            let (slot, old, to_ready, drain, killed) = (turn.slot, turn.old, turn.to_ready, turn.drain, turn.killed);
            Some(SlotReload { slot, old, new, to_ready, drain, killed })
        };
        ReloadReport {
            generation: self.generation,
            slots: self.turns.iter().filter_map(slot).collect(),
            took: now.saturating_duration_since(self.since),
        }
    }
}

impl Fleet {
    pub(super) fn begin_reload(&mut self, now: Instant, ticket: Ticket) {
        let generation = self.newest.next();
        self.tell_all(Level::Info, format!("reload begins: generation {generation}"));
        self.act(Action::Resolve { generation });
        let (waiting, turns) = (VecDeque::new(), Vec::new());
        self.order = Some(Running::Reload(Reload { ticket, generation, since: now, resolved: false, waiting, turns }));
    }

    pub(super) fn resolved_for_reload(&mut self, generation: Generation, result: Result<(), String>) {
        let slots = (0..self.slots.len()).map(slot_at).collect();
        let Some(Running::Reload(reload)) = &mut self.order else {
            return;
        };
        if reload.resolved || reload.generation != generation {
            return;
        }
        match result {
            Ok(()) => {
                (reload.resolved, reload.waiting) = (true, slots);
                self.newest = generation;
            }
            Err(why) => {
                let ticket = reload.ticket;
                self.order = None;
                self.reload_failed(ticket, why);
            }
        }
    }

    pub(super) fn advance_reload(&mut self, now: Instant, mut reload: Reload) {
        for turn in &mut reload.turns {
            self.advance_turn(now, turn, reload.generation);
        }
        while reload.under_way() < self.policy.surge.max(1) {
            let Some(slot) = reload.waiting.pop_front() else {
                break;
            };
            let turn = self.begin_turn(now, slot, reload.generation);
            reload.turns.push(turn);
        }
        let old_gone = reload.turns.iter().all(|turn| !self.lives(turn.old));
        match reload.all_switched() && old_gone {
            true => self.reload_done(now, &reload),
            false => self.order = Some(Running::Reload(reload)),
        }
    }

    fn begin_turn(&mut self, now: Instant, slot: Slot, generation: Generation) -> Turn {
        let old = self.slot_mut(slot).and_then(|record| record.holder());
        let (to_ready, drain) = (Duration::ZERO, Duration::ZERO);
        let mut turn = Turn { slot, stage: Stage::Emptying, old, to_ready, drain, killed: false, emptied: false };
        match old {
            Some(old) if self.policy.surge == 0 => {
                turn.emptied = true;
                self.dismiss(now, old);
                self.release(now, slot, old);
            }
            _ => self.start_new(now, &mut turn, generation),
        }
        turn
    }

    fn advance_turn(&mut self, now: Instant, turn: &mut Turn, generation: Generation) {
        match turn.stage {
            Stage::Emptying if !self.lives(turn.old) => self.start_new(now, turn, generation),
            Stage::Starting { new } => self.switch_when_ready(now, turn, new),
            Stage::Emptying | Stage::Switched { .. } => {}
        }
    }

    fn start_new(&mut self, now: Instant, turn: &mut Turn, generation: Generation) {
        let new = self.spawn(now, turn.slot, generation);
        turn.stage = Stage::Starting { new };
        if let Some(record) = self.slot_mut(turn.slot) {
            record.next = Some(new);
            if record.holder().is_none() {
                // A slot that rests, or that gave up, is tried at once.
                record.set(Filled::Vacant, now);
            }
        }
    }

    fn switch_when_ready(&mut self, now: Instant, turn: &mut Turn, new: NodeId) {
        let Some(node) = self.nodes.get(&new).filter(|node| node.state == State::Serving) else {
            return;
        };
        turn.to_ready = now.saturating_duration_since(node.started);
        turn.stage = Stage::Switched { new };
        let generation = node.generation;
        if let Some(record) = self.slot_mut(turn.slot) {
            (record.generation, record.next) = (generation, None);
            record.history = Default::default();
            record.set(Filled::By(new), now);
        }
        if let Some(old) = turn.old {
            self.dismiss(now, old);
        }
    }

    fn reload_done(&mut self, now: Instant, reload: &Reload) {
        self.current = reload.generation;
        let report = reload.report(now);
        self.tell_all(Level::Info, format!("reload done: {report}"));
        self.answer(reload.ticket, Ok(Report::Reload(report)));
    }

    /// Keeps what serves, ends what was still to come.
    pub(super) fn stop_reload(&mut self, now: Instant, reload: &Reload, why: String) {
        for turn in reload.turns.iter().filter(|turn| !turn.stage.is_switched()) {
            if let Some(new) = turn.stage.new_node() {
                self.dismiss(now, new);
                self.release(now, turn.slot, new);
            }
            self.refill(now, turn);
        }
        let switched = reload.turns.iter().filter(|turn| turn.stage.is_switched()).count();
        let after = Span(now.saturating_duration_since(reload.since));
        self.tell_all(Level::Error, format!("reload stopped after {after}, with {switched} slots done"));
        self.reload_failed(reload.ticket, why);
    }

    /// A slot whose old node is gone gets another of its own generation.
    fn refill(&mut self, now: Instant, turn: &Turn) {
        let restart = self.policy.restart || turn.emptied;
        let vacant = self.slot_mut(turn.slot).is_some_and(|record| record.filled == Filled::Vacant);
        if restart && vacant {
            self.fill(now, turn.slot);
        }
    }

    fn reload_failed(&mut self, ticket: Ticket, why: String) {
        let refusal = OrderError::Failed { why };
        self.tell_all(Level::Error, format!("reload failed: {refusal}"));
        self.answer(ticket, Err(refusal));
    }

    fn lives(&self, id: Option<NodeId>) -> bool {
        id.is_some_and(|id| self.nodes.contains_key(&id))
    }
}
