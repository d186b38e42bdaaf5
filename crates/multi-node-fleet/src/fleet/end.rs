//! What follows when a node has ended, or leaves.

use std::time::{Duration, Instant};

use super::orders::Dependent;
use super::slot::Filled;
use super::words::{Ending, Sequel, Span};
use super::{Action, Course, Fleet, Level, Node, Tally, after};
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
        let sequel = self.sequel(now, id, node, parting, hold);
        let sequel = if before_listen { self.hopeless().unwrap_or(sequel) } else { sequel };
        match (parting, sequel) {
            (Parting::Finished, Sequel::Again { .. } | Sequel::SucceededBy(_)) => {
                let served = Span(node.served(now));
                let text = format!("{ending} after it had served for {served}: its program recycles it; {sequel}");
                self.tell(Level::Info, node.slot, id, text);
            }
            _ => self.tell(Level::Warn, node.slot, id, format!("{how}; {sequel}")),
        }
        self.last_death = format!("{id} in slot {} {how}", node.slot);
        if before_listen {
            self.last_death = format!("{}: {BEFORE_LISTEN}", self.last_death);
        }
        self.release(now, node.slot, id);
        self.fail_order_of(now, id, self.last_death.clone());
        self.follow(now, node.slot, id, sequel, parting);
    }

    /// A serving node drains by itself; its exit will be no death, but its slot needs another.
    pub(super) fn leave(&mut self, now: Instant, id: NodeId) {
        let Some(node) = self.nodes.remove(&id) else {
            return;
        };
        let sequel = self.sequel(now, id, &node, Parting::Left, HOLD);
        let slot = node.slot;
        self.nodes.insert(id, node);
        self.tell(Level::Info, slot, id, format!("leaves by itself, and drains; {sequel}"));
        self.last_death = format!("{id} in slot {slot} left by itself");
        self.drains(now, id);
        self.release(now, slot, id);
        self.follow(now, slot, id, sequel, Parting::Left);
    }

    /// Decides what comes after a node that nobody ordered away.
    fn sequel(&mut self, now: Instant, id: NodeId, node: &Node, parting: Parting, hold: Duration) -> Sequel {
        if matches!(self.course, Course::Stopping(_)) {
            return Sequel::NotReplaced("the program shuts down");
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
            return Sequel::NotReplaced("its slot is gone");
        };
        match (dependent, record.next) {
            // While an order stands on a node, nobody else can be next in its slot.
            (Dependent::Reload, Some(_)) => return Sequel::NotReplaced("the reload has failed"),
            (Dependent::Replace, Some(_)) => return Sequel::NotReplaced("it was to replace another, which stays"),
            (Dependent::Scale, _) if parting != Parting::Left => {
                return Sequel::NotReplaced("the scaling has failed");
            }
            _ if record.holder() != Some(id) => return Sequel::NotReplaced("its slot is no longer its own"),
            (_, Some(next)) => return Sequel::SucceededBy(next),
            _ if !restart => return Sequel::NotReplaced("`restart` is off"),
            _ => {}
        }
        let pause = record.history.parted(now, parted, &rules, &mut self.jitter);
        match first && (pause.loops || node.hopeless) {
            true => Sequel::GivesUp { deaths: rules.crash_loop.deaths, hopeless: node.hopeless },
            false => Sequel::Again { after: pause.after.max(hold), loops: pause.loops },
        }
    }

    /// The master has run the same code, and with it in none of the slots a node reaches `listen`: no further try will.
    fn hopeless(&self) -> Option<Sequel> {
        let all_failed = self.slots.iter().all(|slot| slot.history.ends > 0);
        let begins = matches!(self.course, Course::Running) && self.order.is_none();
        (begins && self.policy.restart && all_failed).then_some(Sequel::Hopeless)
    }

    fn follow(&mut self, now: Instant, slot: Slot, id: NodeId, sequel: Sequel, parting: Parting) {
        let restarts = u64::from(parting == Parting::Died);
        let Some(record) = self.slot_mut(slot) else {
            return;
        };
        match sequel {
            Sequel::Again { after: pause, loops } => {
                record.restarts += restarts;
                self.rest(now, slot, pause);
                if loops {
                    self.tell_crash_loop(slot, id);
                }
            }
            Sequel::SucceededBy(_) => record.restarts += restarts,
            Sequel::GivesUp { .. } | Sequel::Hopeless => {
                record.set(Filled::GaveUp, now);
                self.tell(Level::Error, slot, id, String::from("the slot gave up, so the program ends"));
                self.stop(now, Err(self.last_death.clone()));
            }
            Sequel::NotReplaced(_) => {}
        }
    }

    fn rest(&mut self, now: Instant, slot: Slot, pause: Duration) {
        if pause.is_zero() {
            self.fill(now, slot);
        } else if let Some(record) = self.slot_mut(slot) {
            record.set(Filled::Resting { until: after(now, pause) }, now);
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

/// A signal is the machine's doing, or somebody's; an exit code is the program's own.
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
