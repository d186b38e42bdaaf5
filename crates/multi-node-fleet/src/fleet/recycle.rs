//! Recycling: a node that has served enough requests, is old enough or has grown too large is replaced, one slot at a
//! time, make before break.

use std::time::{Duration, Instant};

use super::commands::Running;
use super::format::Span;
use super::replace::Cause;
use super::{Fleet, FleetPhase, Level, Node, after};
use crate::id::{NodeId, Slot};
use crate::restart::Jitter;
use crate::status::State;

/// When nodes are recycled; `None`: not for this reason.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recycling {
    /// Requests begun.
    pub max_requests: Option<u64>,
    /// Since the node was ready.
    pub max_age: Option<Duration>,
    /// Resident memory, in bytes.
    pub max_memory: Option<u64>,
    /// The share by which each node's limits are lower, at random between 0 and this, so that slots do not come due in step.
    pub jitter: f64,
}

impl Recycling {
    /// The limits of one node. Memory is no matter of step: how fast it grows differs anyway.
    fn lowered(self, jitter: &mut Jitter) -> Recycling {
        let factor = 1.0 - self.jitter * jitter.fraction();
        Recycling {
            max_requests: self.max_requests.map(|requests| (requests as f64 * factor).ceil() as u64),
            max_age: self.max_age.map(|age| age.mul_f64(factor)),
            ..self
        }
    }

    pub(super) fn counts(&self) -> bool {
        self.max_requests.is_some()
    }

    pub(super) fn weighs(&self) -> bool {
        self.max_memory.is_some()
    }
}

/// What one node lives up to.
#[derive(Clone, Debug)]
pub(super) struct Wear {
    limits: Recycling,
    /// The last look found too much memory.
    heavy: bool,
    /// Why the node needs recycling, once it does.
    pub(super) recycled: Option<String>,
}

impl Wear {
    fn requests(&mut self, requests: u64) {
        if self.limits.max_requests.is_some_and(|limit| requests >= limit) {
            self.wears_out(|| format!("it has served {requests} requests"));
        }
    }

    /// Two looks in a row count: one that comes while processes are forked counts pages more than once.
    fn weighs(&mut self, bytes: u64) {
        let was_heavy = self.heavy;
        self.heavy = self.limits.max_memory.is_some_and(|limit| bytes >= limit);
        if was_heavy && self.heavy {
            self.wears_out(|| format!("it has {} MiB of memory", bytes >> 20));
        }
    }

    fn age(&mut self, age: Duration) {
        if self.limits.max_age.is_some_and(|limit| age >= limit) {
            self.wears_out(|| format!("it has served for {}", Span(age)));
        }
    }

    fn wears_out(&mut self, why: impl FnOnce() -> String) {
        self.recycled.get_or_insert_with(why);
    }
}

impl Node {
    /// When it will be too old, unless it is due for recycling already.
    fn too_old_at(&self) -> Option<Instant> {
        let limit =
            self.wear.limits.max_age.filter(|_| self.state == State::Serving && self.wear.recycled.is_none())?;
        Some(after(self.ready?, limit))
    }
}

impl Fleet {
    pub(super) fn new_wear(&mut self) -> Wear {
        Wear { limits: self.policy.recycling.lowered(&mut self.jitter), heavy: false, recycled: None }
    }

    pub(super) fn weighed(&mut self, id: NodeId, bytes: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.wear.weighs(bytes);
        }
    }

    pub(super) fn wear_by_requests(&mut self, id: NodeId, requests: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.wear.requests(requests);
        }
    }

    pub(super) fn wear_by_age(&mut self, now: Instant) {
        for node in self.nodes.values_mut().filter(|node| node.too_old_at().is_some_and(|due| due <= now)) {
            let age = node.served(now);
            node.wear.age(age);
        }
        self.recycle_again_at = self.recycle_again_at.filter(|&due| due > now);
    }

    /// When a node will be too old, or a recycling that failed may be tried again.
    pub(super) fn recycling_due(&self) -> Option<Instant> {
        if !matches!(self.course, FleetPhase::Running) {
            return None;
        }
        let ages = self.nodes.values().filter_map(Node::too_old_at);
        ages.chain(self.recycle_again_at).min()
    }

    /// Begins to replace the first node that is due, if nothing else is going on.
    pub(super) fn recycle(&mut self, now: Instant) {
        if self.command.is_some() || self.recycle_again_at.is_some() || !matches!(self.course, FleetPhase::Running) {
            return;
        }
        let Some((id, slot, why)) = self.recyclable() else {
            return;
        };
        self.tell(Level::Info, slot, id, format!("recycled: {why}"));
        self.begin_replace(now, slot, Cause::Recycled);
    }

    fn recyclable(&self) -> Option<(NodeId, Slot, String)> {
        self.nodes.iter().find_map(|(&id, node)| {
            let why =
                node.wear.recycled.clone().filter(|_| node.state == State::Serving && self.spares(node.slot, id))?;
            Some((id, node.slot, why))
        })
    }

    /// Whether the slot's node can be replaced: where it has to go first (`surge` 0), all others must serve.
    fn spares(&self, slot: Slot, id: NodeId) -> bool {
        let serves = |id| self.nodes.get(&id).is_some_and(|node| node.state == State::Serving);
        let holds = self.slots.get(slot.index()).is_some_and(|record| record.holder() == Some(id));
        holds && (self.policy.surge > 0 || self.slots.iter().all(|record| record.holder().is_some_and(serves)))
    }

    /// A command comes: a recycling that is under way gives way to it.
    pub(super) fn put_off_recycling(&mut self, now: Instant) {
        let replace = match self.command.take() {
            Some(Running::Replace(replace)) if replace.ticket().is_none() => replace,
            other => return self.command = other,
        };
        self.put_off(now, &replace);
    }

    /// The new node did not come up, and others hardly would: the next is not tried at once.
    pub(super) fn recycle_later(&mut self, now: Instant) {
        self.recycle_again_at = Some(after(now, self.policy.backoff.max));
    }
}
