//! What the fleet looks like at one moment.

use std::time::{Instant, SystemTime};

use super::commands::Running;
use super::{Fleet, FleetPhase, Node, SlotRecord, slot_at};
use crate::command::Serving;
use crate::id::{Generation, NodeId, Slot};
use crate::status::{SlotStatus, State, Status, Waiting};

/// Where a node stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub slot: Slot,
    pub generation: Generation,
    pub state: State,
}

impl Fleet {
    /// What the fleet looks like; counters are left at zero, the load table knows them. `wall` is the time of day
    /// at `now`.
    pub fn snapshot(&self, now: Instant, wall: SystemTime) -> Status {
        let clock = |then: Instant| {
            let ago = now.saturating_duration_since(then);
            wall.checked_sub(ago).unwrap_or(wall)
        };
        let ahead = |then: Instant| wall.checked_add(then.saturating_duration_since(now)).unwrap_or(wall);
        let mut slots: Vec<_> = self.nodes.iter().rev().map(|(&id, node)| self.with_node(id, node, &clock)).collect();
        let empty =
            (0..self.slots.len()).map(slot_at).filter(|&slot| self.nodes.values().all(|node| node.slot != slot));
        slots.extend(empty.map(|slot| without_node(slot, &self.slots[slot.index()], wall, &clock)));
        // The sort is stable, which keeps newer nodes of a slot before older ones.
        slots.sort_by_key(|entry| entry.slot);
        let waiting = self.next.map(|next| {
            let (nodes, until) = self.waited_for().unzip();
            Waiting { command: next.name().to_owned(), nodes: nodes.unwrap_or_default(), until: until.map(ahead) }
        });
        Status { slots, wanted: self.wanted(), waiting, certificates: Vec::new(), gateway: None }
    }

    /// Who serves, slot by slot, for the answer to a command that has failed.
    pub(super) fn who_serves(&self) -> Serving {
        let serves = |id| self.nodes.get(&id).is_some_and(|node| node.state == State::Serving);
        Serving {
            nodes: self.slots.iter().filter(|record| record.holder().is_some_and(serves)).count(),
            generations: self.slots.iter().map(|record| record.generation).collect(),
        }
    }

    /// The nodes in ascending order, with what decides on successors. Cheaper than a whole snapshot.
    pub fn places(&self) -> impl Iterator<Item = (NodeId, Place)> {
        let place = |node: &Node| Place { slot: node.slot, generation: node.generation, state: node.state };
        self.nodes.iter().map(move |(&id, node)| (id, place(node)))
    }

    /// Whether no node will serve before the one that drains has ended.
    pub fn next_comes_after_the_last(&self) -> bool {
        self.policy.rolling && self.policy.surge == 0 && self.slots.len() == 1
    }

    /// Whether nodes are being replaced by those of another program, or the end has begun.
    pub fn is_reloading(&self) -> bool {
        matches!(self.command, Some(Running::Reload(_) | Running::ExecRequest(_)))
    }

    pub fn is_stopping(&self) -> bool {
        matches!(self.course, FleetPhase::Stopping(_) | FleetPhase::Over)
    }

    fn wanted(&self) -> usize {
        match self.course {
            FleetPhase::Unstarted | FleetPhase::Resolving | FleetPhase::Running => self.slots.len(),
            FleetPhase::Stopping(_) | FleetPhase::Over => 0,
        }
    }

    fn with_node(&self, id: NodeId, node: &Node, clock: &impl Fn(Instant) -> SystemTime) -> SlotStatus {
        let record = self.slots.get(node.slot.index());
        SlotStatus {
            id: Some(id),
            pid: node.pid,
            generation: node.generation,
            restarts: record.map_or(0, |record| record.restarts),
            last_exit: record.and_then(|record| record.last_exit),
            ..SlotStatus::new(node.slot, node.state, clock(node.since))
        }
    }
}

fn without_node(
    slot: Slot,
    record: &SlotRecord,
    wall: SystemTime,
    clock: &impl Fn(Instant) -> SystemTime,
) -> SlotStatus {
    SlotStatus {
        id: record.last,
        generation: record.generation,
        restarts: record.restarts,
        last_exit: record.last_exit,
        ..SlotStatus::new(slot, record.state_without_node(), record.since.map_or(wall, clock))
    }
}
