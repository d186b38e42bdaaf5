//! Time: what is due when, and what is done then.

use std::time::{Duration, Instant};

use super::commands::Running;
use super::format::{Span, progress};
use super::slot::Filled;
use super::{Event, Fatal, Fleet, FleetPhase, GRACE, Level, after, slot_at};
use crate::id::NodeId;
use crate::status::State;

/// A deadline that is noticed later than this means that the master was not running, so silence counts against no node.
const LATE: Duration = Duration::from_millis(250);

impl Event {
    /// What it means that a deadline passed so long ago.
    pub fn overdue(late: Duration) -> Event {
        // Nodes have sent messages meanwhile. Handle these before any judgement.
        if late > LATE { Event::Late(late + LATE) } else { Event::Tick }
    }
}

impl Fleet {
    /// When [`Event::Tick`] is due; `None`: nothing is being waited for.
    pub fn next_deadline(&self) -> Option<Instant> {
        let nodes = self.nodes.values().filter_map(|node| node.deadline);
        let rests = self.slots.iter().filter_map(super::SlotRecord::rests_until);
        let sampling = self.sample_at.into_iter().chain(self.recycling_due());
        nodes
            .chain(rests)
            .chain(self.drain_due())
            .chain(self.hang_due())
            .chain(sampling)
            .chain(self.proving_due())
            .min()
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.fill_rested(now);
        let overdue: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.deadline.is_some_and(|due| due <= now))
            .map(|(&id, _)| id)
            .collect();
        for id in overdue {
            self.enforce(now, id);
        }
        self.drain_after_delay(now);
        self.wear_by_age(now);
        self.look(now);
        self.look_for_hangs(now);
    }

    /// A start or a drain may take longer, not shorter.
    pub(super) fn extended(&mut self, now: Instant, id: NodeId, by: Duration) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        if matches!(node.state, State::Initializing | State::Draining) && node.cause.is_none() {
            node.deadline = node.deadline.map(|deadline| deadline.max(after(now, by)));
        }
    }

    /// The master itself did not run: that time counts against no node. What no node answers for is done now.
    pub(super) fn late(&mut self, now: Instant, by: Duration) {
        for node in self.nodes.values_mut() {
            node.shift(by);
        }
        for record in &mut self.slots {
            if let Filled::BackingOff { until } = &mut record.filled {
                *until = after(*until, by);
            }
        }
        if let Some(due) = self.suspect.as_mut().and_then(|suspect| suspect.examined_by.as_mut()) {
            *due = after(*due, by);
        }
        if let FleetPhase::Stopping(stopping) = &mut self.course {
            stopping.delay_drain(by);
        }
        if let Some(Running::Reload(reload)) = &mut self.command {
            reload.trial.shift(by);
        }
        self.wear_by_age(now);
        self.look(now);
    }

    fn fill_rested(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            if self.slots[index].rests_until().is_some_and(|until| until <= now) {
                self.fill(now, slot_at(index));
            }
        }
    }

    /// The node was given its time in its state, and is in it still.
    fn enforce(&mut self, now: Instant, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else {
            return;
        };
        match node.state {
            State::Starting | State::Initializing if node.cause.is_some() => {
                self.condemn(now, id, &format!("it failed, and did not end within {}", Span(GRACE)));
            }
            State::Starting | State::Initializing => {
                let within = Span(self.policy.start_timeout);
                let progress = format!(" (last state: {})", progress(node.state));
                let is_foreign = node.lacks.is_some();
                let progress = node.lacks.as_ref().map_or(progress, |lacks| format!(": {lacks}"));
                let why = format!("it did not become ready within {within}{progress}");
                // A foreign program had the time that the user has set for it.
                if is_foreign { self.give_up_on(now, id, &why) } else { self.condemn(now, id, &why) }
            }
            State::Draining => self.kill_draining(now, id),
            State::Killing => self.kill_again(now, id),
            _ => {}
        }
    }

    fn kill_draining(&mut self, now: Instant, id: NodeId) {
        if let Some(slot) = self.nodes.get(&id).map(|node| node.slot) {
            let text = format!("killing it: it had not drained within {}", Span(self.policy.drain_timeout));
            self.tell(Level::Warn, slot, id, text);
            self.kill(now, id);
        }
    }

    fn kill_again(&mut self, now: Instant, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let (slot, aborted) = (node.slot, node.aborted);
        // It stays as long in this state as it takes: `since` is not touched.
        (node.aborted, node.deadline) = (false, Some(after(now, GRACE)));
        let text = match aborted {
            true => format!("killing it: SIGABRT has not ended it within {}", Span(GRACE)),
            false => format!(
                "still there {} after SIGKILL, so it is in uninterruptible sleep in the kernel (state D in `ps`); sending SIGKILL again",
                Span(now.saturating_duration_since(node.since)),
            ),
        };
        self.tell(Level::Warn, slot, id, text);
        self.signal(id, Fatal::Kill);
    }
}
