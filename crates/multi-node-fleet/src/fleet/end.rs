//! What follows when a node has ended, or leaves.

use std::time::{Duration, Instant};

use super::commands::Dependent;
use super::format::{Ending, RestartDecision, Span};
use super::slot::Filled;
use super::{Action, Fleet, FleetPhase, Level, Node, Tally, after};
use crate::id::{NodeId, Slot};
use crate::restart::{Parted, Parting};
use crate::status::{Exit, State};

/// How long a respawn waits after a signal which may be on its way to the master as well.
const HOLD: Duration = Duration::from_millis(50);

impl Fleet {
    pub(super) fn exited(&mut self, now: Instant, id: NodeId, exit: Exit, tally: Option<Tally>) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.tally = tally;
        }
        self.gone(now, id, &Ending::Exit(exit));
    }

    /// The process is no more, or never was.
    pub(super) fn gone(&mut self, now: Instant, id: NodeId, ending: &Ending) {
        let Some(node) = self.nodes.remove(&id) else {
            return;
        };
        self.clear_suspicion(id);
        if let (Some(exit), Some(record)) = (ending.exit(), self.slot_mut(node.slot)) {
            record.last_exit = Some(exit);
        }
        self.note_drained(now, id, &node);
        match node.ordered {
            true => self.ended_as_ordered(now, id, &node, ending),
            false => self.died(now, id, &node, ending),
        }
        self.act(Action::Forget { id });
    }

    fn ended_as_ordered(&mut self, now: Instant, id: NodeId, node: &Node, ending: &Ending) {
        let (level, text) = match node.drains_since {
            Some(_) if node.was_killed_draining() => (Level::Warn, format!("{ending} before it had drained")),
            Some(_) if ending.is_violent() => (Level::Warn, format!("{ending} while draining, and not by its master")),
            Some(since) => {
                (Level::Info, format!("{ending}, drained in {}", Span(now.saturating_duration_since(since))))
            }
            None => (Level::Info, ending.to_string()),
        };
        self.tell(level, node.slot, id, text);
        self.release(now, node.slot, id);
    }

    fn died(&mut self, now: Instant, id: NodeId, node: &Node, ending: &Ending) {
        let how = describe(node, ending);
        let hold = if ending.may_concern_master() || node.left { HOLD } else { Duration::ZERO };
        let parting = parting(node, ending);
        let begins = self.policy.same_program && !self.seen_hello && !self.seen_ready;
        let before_listen = begins && is_before_listen(node, ending);
        let decision = self.decision(now, id, node, parting, hold);
        let decision = if before_listen { self.hopeless().unwrap_or(decision) } else { decision };
        match (parting, decision) {
            (Parting::Finished, RestartDecision::Again { .. } | RestartDecision::SucceededBy(_)) => {
                let served = Span(node.served(now));
                let text = format!("{ending} after it had served for {served}: its program recycles it; {decision}");
                self.tell(Level::Info, node.slot, id, text);
            }
            _ => self.tell(Level::Warn, node.slot, id, format!("{how}; {decision}")),
        }
        self.last_death = format!("{id} in slot {} {how}", node.slot);
        if before_listen {
            self.last_death = format!("{}: {BEFORE_LISTEN}", self.last_death);
        }
        self.release(now, node.slot, id);
        self.fail_command_of(now, id, self.last_death.clone());
        self.follow(now, node.slot, id, decision, parting);
    }

    /// A serving node drains on its own initiative. Its exit will not count as a crash, but its slot needs another node.
    pub(super) fn leave(&mut self, now: Instant, id: NodeId) {
        let Some(node) = self.nodes.remove(&id) else {
            return;
        };
        let decision = self.decision(now, id, &node, Parting::Left, HOLD);
        let slot = node.slot;
        self.nodes.insert(id, node);
        self.tell(Level::Info, slot, id, format!("leaves by itself, and drains; {decision}"));
        self.last_death = format!("{id} in slot {slot} left by itself");
        self.drains(now, id);
        self.release(now, slot, id);
        self.follow(now, slot, id, decision, Parting::Left);
    }

    /// Decides what follows a node that ended without a command.
    fn decision(&mut self, now: Instant, id: NodeId, node: &Node, parting: Parting, hold: Duration) -> RestartDecision {
        if matches!(self.course, FleetPhase::Stopping(_)) {
            return RestartDecision::NotReplaced("the program shuts down");
        }
        let (mut rules, restart, first) = (self.rules(), self.policy.restart, !self.seen_ready);
        if first {
            // A program that has never served gives up, however long each of its starts takes.
            rules.crash_loop.within = Duration::MAX;
        }
        let dependent = self.dependent_on(id);
        let parted = Parted {
            parting,
            lived: now.saturating_duration_since(node.started),
            served: node.ready.map(|_| node.served(now)),
            others_serve: self.nodes.values().any(|other| other.state == State::Serving),
        };
        let Some(record) = self.slots.get_mut(node.slot.index()) else {
            return RestartDecision::NotReplaced("its slot is gone");
        };
        match (dependent, record.next) {
            // While the command is responsible for a node, nothing else plans the next node of its slot.
            (Dependent::Reload, Some(_)) => return RestartDecision::NotReplaced("the reload has failed"),
            (Dependent::Replace, Some(_)) => {
                return RestartDecision::NotReplaced("it was to replace another, which stays");
            }
            (Dependent::Scale, _) if parting != Parting::Left => {
                return RestartDecision::NotReplaced("the scaling has failed");
            }
            _ if record.holder() != Some(id) => return RestartDecision::NotReplaced("its slot is no longer its own"),
            (_, Some(next)) => return RestartDecision::SucceededBy(next),
            _ if !restart => return RestartDecision::NotReplaced("`restart` is off"),
            _ => {}
        }
        let pause = record.history.parted(now, parted, &rules, &mut self.jitter);
        match first && (pause.loops || node.hopeless) {
            true => RestartDecision::GivesUp { deaths: rules.crash_loop.deaths, hopeless: node.hopeless },
            false => RestartDecision::Again { after: pause.after.max(hold), loops: pause.loops },
        }
    }

    /// The master has run the same code, and with it in none of the slots a node reaches `listen`: no further try will.
    fn hopeless(&self) -> Option<RestartDecision> {
        let all_failed = self.slots.iter().all(|slot| slot.history.ends > 0);
        let begins = matches!(self.course, FleetPhase::Running) && self.command.is_none();
        (begins && self.policy.restart && all_failed).then_some(RestartDecision::Hopeless)
    }

    fn follow(&mut self, now: Instant, slot: Slot, id: NodeId, decision: RestartDecision, parting: Parting) {
        let restarts = u64::from(parting == Parting::Died);
        let Some(record) = self.slot_mut(slot) else {
            return;
        };
        match decision {
            RestartDecision::Again { after: pause, loops } => {
                record.restarts += restarts;
                self.rest(now, slot, pause);
                if loops {
                    self.tell_crash_loop(slot, id);
                }
            }
            RestartDecision::SucceededBy(_) => record.restarts += restarts,
            RestartDecision::GivesUp { .. } | RestartDecision::Hopeless => {
                record.set(Filled::Failed, now);
                self.tell(Level::Error, slot, id, String::from("the slot failed, so the program ends"));
                self.stop(now, Err(self.last_death.clone()));
            }
            RestartDecision::NotReplaced(_) => {}
        }
    }

    fn rest(&mut self, now: Instant, slot: Slot, pause: Duration) {
        if pause.is_zero() {
            self.fill(now, slot);
        } else if let Some(record) = self.slot_mut(slot) {
            record.set(Filled::BackingOff { until: after(now, pause) }, now);
        }
    }

    fn tell_crash_loop(&mut self, slot: Slot, id: NodeId) {
        let (limit, longest) = (self.policy.crash_loop, Span(self.policy.backoff.max));
        let text = format!(
            "crash loop: {} deaths within {}; it is tried again about every {longest} until a node runs stably, \
             without a pause where it served and no other node does",
            limit.deaths,
            Span(limit.within)
        );
        self.tell(Level::Error, slot, id, text);
    }

    pub(super) fn release(&mut self, now: Instant, slot: Slot, id: NodeId) {
        if let Some(record) = self.slot_mut(slot) {
            record.release(id, now);
        }
    }
}

/// Success is a recycling where the node has served and nothing else was wrong with it.
fn parting(node: &Node, ending: &Ending) -> Parting {
    let succeeded = matches!(ending, Ending::Exit(Exit::Code(0)));
    if succeeded && node.state == State::Serving && node.cause.is_none() { Parting::Finished } else { Parting::Died }
}

/// What people need to know where nodes end by themselves before any of them has reached `listen`.
const BEFORE_LISTEN: &str = "it did not reach `listen`; code before `listen` runs in every process, so what only one may do, such \
    as taking a port or a lock, belongs after it";

/// A signal comes from the machine or from a user; an exit code is the program's own.
fn is_before_listen(node: &Node, ending: &Ending) -> bool {
    let exited = matches!(ending, Ending::Exit(Exit::Code(_)));
    exited && node.last_state == State::Starting && node.state == State::Starting && node.cause.is_none()
}

/// `ended by SIGKILL while starting: it did not become ready within 60 s`
fn describe(node: &Node, ending: &Ending) -> String {
    let state = match ending {
        Ending::Exit(_) => format!(" while {}", node.last_state),
        Ending::NeverStarted(_) => String::new(),
    };
    match &node.cause {
        Some(cause) => format!("{ending}{state}: {cause}"),
        None => format!("{ending}{state}"),
    }
}
