//! The rules' state as it passes from one master to its successor.
//!
//! Times are saved relative to one moment, since another process cannot interpret an [`Instant`].

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::node::Node;
use super::recycle::Wear;
use super::slot::{Filled, SlotRecord};
use super::{Fleet, FleetPhase, Policy, after};
use crate::id::{Generation, NodeId, Slot};
use crate::leases::Leases;
use crate::restart::Restarts;
use crate::status::{Exit, State};

/// A fleet at rest: no command is being carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    slots: Vec<SavedSlot>,
    nodes: BTreeMap<NodeId, SavedNode>,
    started: u64,
    current: Generation,
    newest: Generation,
    seen_ready: bool,
    last_death: String,
    #[serde(default)]
    leases: Leases,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedSlot {
    generation: Generation,
    filled: SavedFilling,
    since: Option<Moment>,
    last: Option<NodeId>,
    last_exit: Option<Exit>,
    restarts: u64,
    ends: u32,
    deaths: Vec<Moment>,
    looping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedFilling {
    Empty,
    By(NodeId),
    BackingOff { until: Moment },
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedNode {
    slot: Slot,
    generation: Generation,
    pid: Option<u32>,
    state: State,
    since: Moment,
    deadline: Option<Moment>,
    started: Moment,
    ready: Option<Moment>,
    drains_since: Option<Moment>,
    last_state: State,
    cause: Option<String>,
    #[serde(default)]
    lacks: Option<String>,
    #[serde(default)]
    beats: bool,
    ordered: bool,
    left: bool,
    aborted: bool,
}

/// Microseconds from the moment of saving: negative before, positive after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Moment(i64);

impl Moment {
    fn of(time: Instant, now: Instant) -> Moment {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match time.checked_duration_since(now) {
            Some(ahead) => Moment(micros(ahead)),
            None => Moment(-micros(now.duration_since(time))),
        }
    }

    /// The same time, in a process where the moment of saving was `then`.
    fn at(self, then: Instant) -> Instant {
        let span = Duration::from_micros(self.0.unsigned_abs());
        // A machine that has not run for so long has no such time; the earliest it has will do.
        if self.0 < 0 { then.checked_sub(span).unwrap_or(then) } else { after(then, span) }
    }
}

impl Fleet {
    /// What a successor needs to continue.
    pub fn save(&self, now: Instant) -> Saved {
        Saved {
            slots: self.slots.iter().map(|record| save_slot(record, now)).collect(),
            nodes: self.nodes.iter().map(|(&id, node)| (id, save_node(node, now))).collect(),
            started: self.started,
            current: self.current,
            newest: self.newest,
            seen_ready: self.seen_ready,
            last_death: self.last_death.clone(),
            leases: self.leases.clone(),
        }
    }

    /// Continues from another master's state of the time `then`, in terms of this process. No node counts as silent so far.
    pub fn restore(policy: Policy, seed: u64, saved: Saved, then: Instant, now: Instant) -> Fleet {
        let mut fleet = Fleet::new(policy, seed);
        let Saved { slots, nodes, started, current, newest, seen_ready, last_death, leases } = saved;
        fleet.course = FleetPhase::Running;
        fleet.slots = slots.iter().map(|slot| restore_slot(slot, then)).collect();
        let all_beat = fleet.policy.all_beat;
        let nodes = nodes.into_iter();
        fleet.nodes =
            nodes.map(|(id, node)| (id, restore_node(node, (then, now), fleet.new_wear(), all_beat))).collect();
        (fleet.started, fleet.current, fleet.newest) = (started, current, newest);
        (fleet.seen_ready, fleet.last_death, fleet.leases) = (seen_ready, last_death, leases);
        fleet
    }
}

fn save_slot(record: &SlotRecord, now: Instant) -> SavedSlot {
    let Restarts { ends, deaths, looping } = &record.history;
    SavedSlot {
        generation: record.generation,
        filled: match record.filled {
            Filled::Empty => SavedFilling::Empty,
            Filled::By(id) => SavedFilling::By(id),
            Filled::BackingOff { until } => SavedFilling::BackingOff { until: Moment::of(until, now) },
            Filled::Failed => SavedFilling::Failed,
        },
        since: record.since.map(|since| Moment::of(since, now)),
        last: record.last,
        last_exit: record.last_exit,
        restarts: record.restarts,
        ends: *ends,
        deaths: deaths.iter().map(|&death| Moment::of(death, now)).collect(),
        looping: *looping,
    }
}

fn restore_slot(saved: &SavedSlot, then: Instant) -> SlotRecord {
    let deaths: VecDeque<Instant> = saved.deaths.iter().map(|death| death.at(then)).collect();
    SlotRecord {
        generation: saved.generation,
        filled: match saved.filled {
            SavedFilling::Empty => Filled::Empty,
            SavedFilling::By(id) => Filled::By(id),
            SavedFilling::BackingOff { until } => Filled::BackingOff { until: until.at(then) },
            SavedFilling::Failed => Filled::Failed,
        },
        next: None,
        since: saved.since.map(|since| since.at(then)),
        last: saved.last,
        last_exit: saved.last_exit,
        restarts: saved.restarts,
        history: Restarts { ends: saved.ends, deaths, looping: saved.looping },
    }
}

fn save_node(node: &Node, now: Instant) -> SavedNode {
    let moment = |time: Option<Instant>| time.map(|time| Moment::of(time, now));
    SavedNode {
        slot: node.slot,
        generation: node.generation,
        pid: node.pid,
        state: node.state,
        since: Moment::of(node.since, now),
        deadline: moment(node.deadline),
        started: Moment::of(node.started, now),
        ready: moment(node.ready),
        drains_since: moment(node.drains_since),
        last_state: node.last_state,
        cause: node.cause.clone(),
        lacks: node.lacks.clone(),
        beats: node.beats,
        ordered: node.ordered,
        left: node.left,
        aborted: node.aborted,
    }
}

fn restore_node(saved: SavedNode, (then, now): (Instant, Instant), wear: Wear, all_beat: bool) -> Node {
    let at = |moment: Option<Moment>| moment.map(|moment| moment.at(then));
    Node {
        slot: saved.slot,
        generation: saved.generation,
        pid: saved.pid,
        state: saved.state,
        since: saved.since.at(then),
        deadline: at(saved.deadline),
        started: saved.started.at(then),
        ready: at(saved.ready),
        proved_at: None,
        drains_since: at(saved.drains_since),
        heard: now,
        last_state: saved.last_state,
        cause: saved.cause,
        lacks: saved.lacks,
        // There were ready nodes before, or there were no upgrade.
        hopeless: false,
        beats: saved.beats || all_beat,
        ordered: saved.ordered,
        left: saved.left,
        aborted: saved.aborted,
        wear,
        tally: None,
        drained: None,
    }
}
