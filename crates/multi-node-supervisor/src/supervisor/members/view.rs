//! What is known of the nodes: what they have done, what they weigh, and how the fleet looks to everybody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::Members;
use crate::control::{self, ToNode, has_capability};
use crate::exits::Exits;
use crate::id::{Generation, NodeId};
use crate::process_links::Snapshot;
use crate::status::{Exit, Status};
use crate::supervisor::fleet::Tally;
use crate::supervisor::member::Member;
use crate::supervisor::watch::NodeEvent;
use crate::sys;

/// How long the master rests after a look at memory, in terms of the time that it took: about 1 % of a core is spent.
const REST: u32 = 99;

/// Reports the memory of each node.
fn weigh(nodes: Vec<(NodeId, u32)>, events: &mpsc::Sender<(NodeId, NodeEvent)>) {
    // One that cannot be read has just ended.
    let weights = nodes.into_iter().filter_map(|(id, pid)| Some((id, sys::usage::memory(pid)?)));
    for (id, bytes) in weights {
        if events.blocking_send((id, NodeEvent::Weighs(bytes))).is_err() {
            return;
        }
    }
}

impl Members {
    /// What these nodes have done so far.
    pub(in crate::supervisor) fn count(&self, nodes: &[NodeId]) -> Vec<(NodeId, Tally)> {
        nodes.iter().filter_map(|&id| Some((id, self.tally(id)?))).collect()
    }

    /// Tells followers that a node has ended.
    pub(in crate::supervisor) fn tell_end(&self, id: NodeId, exit: Exit, exits: &Exits) {
        let Some(info) = self.alive.get(&id).map(|member| member.info) else { return };
        if let Some(slot) = info.slot() {
            exits.tell(id, slot, info.pid(), exit);
        }
    }

    /// What a node has done so far; `None` of one that is gone, and of programs that do not count.
    pub(in crate::supervisor) fn tally(&self, id: NodeId) -> Option<Tally> {
        let line = self.alive.get(&id).filter(|_| self.speaks(id))?.line;
        let (counts, faults) = (self.template.load.counts(line), self.template.load.faults(line));
        Some(Tally {
            requests: counts.requests,
            unanswered: counts.in_flight + faults.aborted,
            open: counts.open,
            errors: faults.errors,
        })
    }

    /// Reads the memory of these nodes. Reports each as [`NodeEvent::Weighs`], unless that takes too long.
    pub(in crate::supervisor) fn weigh(&self, nodes: &[NodeId]) {
        let Ok(turn) = Arc::clone(&self.weighing).try_acquire_owned() else { return };
        let nodes: Vec<_> = nodes.iter().filter_map(|id| Some((*id, self.alive.get(id)?.main().0))).collect();
        let events = self.events.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            // Reading /proc is no work for the loop.
            let looked = tokio::task::spawn_blocking(move || weigh(nodes, &events)).await;
            if looked.is_ok() {
                tokio::time::sleep(begun.elapsed().saturating_mul(REST)).await;
            }
            drop(turn);
        });
    }

    /// The node serves from now on: those whose requests have owners learn of it before it does.
    pub(in crate::supervisor) fn name_serving(&self, id: NodeId) {
        let Some(slot) = self.get(id).and_then(|member| member.info.slot()) else { return };
        let has_owners =
            |member: &&Member| member.is_welcome() && has_capability(&member.capabilities, control::OWNERS);
        let others = self.alive.values().filter(|member| member.info.id() != id);
        for member in others.chain(self.get(id)).filter(has_owners) {
            self.deliver(member, ToNode::Serves { id, slot });
        }
    }

    /// Lets everyone see how the fleet looks, if that has changed. `starts`: whether nodes may be started from a generation.
    pub(in crate::supervisor) fn publish(&mut self, mut status: Status, starts: impl Fn(Generation) -> bool) {
        let mut seen = BTreeSet::new();
        for entry in &mut status.slots {
            // A slot that is being reloaded has two entries, and counts once.
            if seen.insert(entry.slot) {
                let ended = self.ended.get(&entry.slot).copied().unwrap_or_default();
                (entry.requests, entry.skipped_messages) = (ended.requests, ended.skipped);
            }
        }
        for entry in &mut status.slots {
            let node = entry.id.and_then(|id| self.view(id));
            entry.program = self.template.workload.status(node, entry.generation);
            let member = entry.id.and_then(|id| self.alive.get(&id));
            entry.pid = entry.pid.map(|pid| member.map_or(pid, |member| member.main().0));
        }
        let line = |id: Option<NodeId>| self.alive.get(&id?).map(|member| member.line);
        let lines = status.slots.iter().map(|entry| line(entry.id)).collect();
        let lives = |generation| status.slots.iter().any(|entry| entry.generation == generation);
        let used = |generation| starts(generation) || lives(generation);
        self.launcher.keep(used);
        self.template.workload.keep(&used);
        status.certificates.clone_from(&self.template.tls.view.borrow().shown);
        status.gateway = self.gateway.as_ref().map(|gateway| gateway.status.clone());
        let bound = self.template.workload.bound();
        self.tell_fleet(&status);
        let machines = self.machines.clone();
        let snapshot = Snapshot { status, lines, ended: self.ended.clone(), bound, machines };
        self.snapshot.send_if_modified(|last| {
            let changed = *last != snapshot;
            *last = snapshot;
            changed
        });
        // Only now no one reads them any more, and a count that was shown never becomes smaller.
        for line in self.left_lines.drain(..) {
            self.template.load.clear(line);
            self.free_lines.insert(line);
        }
    }
}
