//! What a node does on its way from its start to its drain.

use std::time::Instant;

use super::format::{Ending, Span};
use super::{Action, Fatal, Fleet, GRACE, Level, Node, after};
use crate::id::{Generation, NodeId, Slot};
use crate::status::Drained;
use crate::status::State;

impl Fleet {
    /// Starts a node of the slot's own generation in the slot.
    pub(super) fn fill(&mut self, now: Instant, slot: Slot) {
        let Some(generation) = self.slot_mut(slot).map(|record| record.generation) else {
            return;
        };
        let id = self.spawn(now, slot, generation);
        if let Some(record) = self.slot_mut(slot) {
            record.set(super::Filled::By(id), now);
        }
    }

    pub(super) fn spawn(&mut self, now: Instant, slot: Slot, generation: Generation) -> NodeId {
        self.started += 1;
        let id = NodeId::node(self.started);
        let wear = self.new_wear();
        let node = Node::starting(slot, generation, now, self.policy.start_timeout, wear);
        self.nodes.insert(id, Node { beats: self.policy.all_beat, ..node });
        if let Some(record) = self.slot_mut(slot) {
            record.last = Some(id);
        }
        self.act(Action::Spawn { id, slot, generation });
        id
    }

    pub(super) fn spawned(&mut self, now: Instant, id: NodeId, result: Result<u32, String>) {
        let start_timeout = self.policy.start_timeout;
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.pid.is_none()) else {
            return;
        };
        let pid = match result {
            Ok(pid) => pid,
            Err(why) => return self.gone(now, id, &Ending::NeverStarted(why)),
        };
        node.pid = Some(pid);
        node.started = now;
        let (slot, generation, doomed) = (node.slot, node.generation, node.state == State::Killing);
        if node.is_coming_up() {
            node.deadline = Some(after(now, start_timeout));
        }
        self.tell(Level::Info, slot, id, format!("started, generation {generation}"));
        if doomed {
            self.kill(now, id);
        }
    }

    /// Its step has become the program.
    pub(super) fn runs(&mut self, id: NodeId, lacks: String) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.lacks = Some(lacks);
        }
    }

    /// The node's program links this crate, which its phase could not show. The node may already count as ready.
    pub(super) fn linked(&mut self, now: Instant, id: NodeId) {
        self.heard(now, id);
        if let Some(node) = self.nodes.get_mut(&id) {
            (node.beats, node.lacks) = (true, None);
        }
        let (own, others): (Vec<_>, Vec<_>) = self.joinable().into_iter().partition(|other| *other == id);
        if !own.is_empty() {
            self.act(Action::Join { id, with: others });
        }
    }

    fn joinable(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| node.is_joinable()).map(|(&id, _)| id).collect()
    }

    pub(super) fn hello(&mut self, now: Instant, id: NodeId) {
        self.heard(now, id);
        self.seen_hello = true;
        let with = self.joinable();
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        match node.state {
            State::Starting => {
                node.enter(State::Initializing, now, node.deadline);
                self.act(Action::Join { id, with });
            }
            State::Initializing | State::Serving => self.condemn(now, id, "it said hello twice"),
            _ => {}
        }
    }

    pub(super) fn ready(&mut self, now: Instant, id: NodeId) {
        self.heard(now, id);
        let settle = self.policy.settle;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        match node.state {
            State::Initializing if node.cause.is_none() => {
                node.enter(State::Serving, now, None);
                (node.ready, node.proved_at) = (Some(now), Some(after(now, settle)));
                let (slot, took) = (node.slot, Span(now.saturating_duration_since(node.started)));
                self.seen_ready = true;
                self.tell(Level::Info, slot, id, format!("ready after {took}"));
            }
            State::Starting => self.condemn(now, id, "it said that it was ready before it said hello"),
            State::Initializing => self.condemn(now, id, "it said that it was ready after it had failed"),
            State::Serving => self.condemn(now, id, "it said twice that it was ready"),
            _ => {}
        }
    }

    /// Started as it is, it will never be ready.
    pub(super) fn give_up_on(&mut self, now: Instant, id: NodeId, why: &str) {
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.is_coming_up()) {
            node.hopeless = true;
            self.condemn(now, id, why);
        }
    }

    /// A node of another program was ready and is not any more, though it lives. Of one that has to prove itself that is a
    /// failure; others are left alone, since they may only be at work.
    pub(super) fn unready(&mut self, now: Instant, id: NodeId, why: &str) {
        let Some(slot) = self.nodes.get(&id).filter(|node| node.state == State::Serving).map(|node| node.slot) else {
            return;
        };
        match self.has_to_prove_itself(id) {
            true => self.fail_command_of(now, id, format!("{id} in slot {slot} was ready, and is no more: {why}")),
            false => self.tell(Level::Warn, slot, id, format!("not ready any more: {why}")),
        }
    }

    /// The exit that follows is reported with the cause; it is enforced if it does not follow soon.
    pub(super) fn failed(&mut self, now: Instant, id: NodeId, why: String) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        match node.state {
            State::Starting | State::Initializing if node.cause.is_none() => {
                let enforced = after(now, GRACE);
                node.deadline = Some(node.deadline.map_or(enforced, |deadline| deadline.min(enforced)));
                node.cause = Some(why);
            }
            State::Serving => self.condemn(now, id, &format!("it failed: {why}")),
            _ => {}
        }
    }

    pub(super) fn leaving(&mut self, now: Instant, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        match node.state {
            State::Serving => {
                node.left = true;
                self.leave(now, id);
            }
            // It has not served yet: for the slot this is a start that failed.
            State::Initializing => {
                node.left = true;
                self.failed(now, id, String::from("it left before it was ready"));
            }
            State::Starting => self.condemn(now, id, "it said that it leaves before it said hello"),
            _ => {}
        }
    }

    pub(super) fn broken(&mut self, now: Instant, id: NodeId, why: &str) {
        if self.nodes.get(&id).is_some_and(|node| node.state != State::Draining) {
            self.condemn(now, id, &format!("its control channel broke: {why}"));
        }
    }

    pub(super) fn drained(&mut self, id: NodeId, drained: Drained) {
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.drains_since.is_some()) {
            node.drained = Some(drained);
        }
    }

    /// Kills a node for what it did or left undone; its exit will be a death with this cause.
    pub(super) fn condemn(&mut self, now: Instant, id: NodeId, why: &str) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.state != State::Killing) else {
            return;
        };
        let (slot, state) = (node.slot, node.state);
        node.cause.get_or_insert_with(|| why.to_owned());
        self.tell(Level::Warn, slot, id, format!("killing it while {state}: {why}"));
        self.kill(now, id);
    }

    /// Ends the node's work in the gentlest way its state allows; its exit will be no death.
    pub(super) fn dismiss(&mut self, now: Instant, id: NodeId) {
        let within = self.policy.drain_timeout;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let slot = node.slot;
        match node.state {
            State::Serving => {
                self.drains(now, id);
                self.tell(Level::Info, slot, id, format!("drains, for {} at most", Span(within)));
                self.act(Action::Drain { id, within });
            }
            State::Starting | State::Initializing => {
                node.ordered = true;
                self.tell(Level::Info, slot, id, String::from("startup aborted: no longer needed"));
                self.kill(now, id);
            }
            _ => {}
        }
    }

    pub(super) fn drains(&mut self, now: Instant, id: NodeId) {
        let deadline = after(now, self.policy.drain_timeout);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.ordered = true;
            node.drains_since = Some(now);
            node.enter(State::Draining, now, Some(deadline));
        }
    }

    pub(super) fn kill(&mut self, now: Instant, id: NodeId) {
        self.end_by(now, id, Fatal::Kill);
    }

    pub(super) fn end_by(&mut self, now: Instant, id: NodeId, signal: Fatal) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.enter(State::Killing, now, Some(after(now, GRACE)));
            node.aborted = signal == Fatal::Abort;
            self.signal(id, signal);
        }
    }

    /// A process that is not there yet is signalled once it is.
    pub(super) fn signal(&mut self, id: NodeId, signal: Fatal) {
        if self.nodes.get(&id).is_some_and(|node| node.pid.is_some()) {
            self.act(Action::Signal { id, signal });
        }
    }
}
