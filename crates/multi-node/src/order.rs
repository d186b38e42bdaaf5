//! Orders to the fleet, and what came of them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{Generation, NodeId, Slot};

/// What the fleet can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Reload,
    /// A reload, after which the new program takes the master's place.
    Upgrade,
    /// Another node of the same program in this slot.
    Restart {
        slot: Slot,
    },
    Scale {
        nodes: usize,
    },
    /// `now`: without `shutdown_delay` and drain.
    Shutdown {
        now: bool,
    },
}

/// What an order that succeeded reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    Reload(ReloadReport),
    Restart(Replacement),
    Scale(ScaleReport),
    Shutdown,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReloadReport {
    /// The generation that serves now.
    pub generation: Generation,
    /// What happened in each slot, in the order it happened.
    pub slots: Vec<Replacement>,
    /// From the order to the end of the last drain.
    pub took: Duration,
}

/// How one slot's node was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replacement {
    /// The slot.
    pub slot: Slot,
    /// Who served before; `None` where the slot had no node.
    pub old: Option<NodeId>,
    /// Who serves now.
    pub new: NodeId,
    /// From the new node's start until it was ready.
    pub to_ready: Duration,
    /// From the order to drain until the old node's end; zero where there was none.
    pub drain: Duration,
    /// Whether the old node was killed at the drain deadline.
    pub killed: bool,
}

impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.slots.iter().map(|s| s.to_ready).max().unwrap_or_default();
        let drain = self.slots.iter().map(|s| s.drain).max().unwrap_or_default();
        let killed = self.slots.iter().filter(|s| s.killed).count();
        write!(
            f,
            "generation {} serves in {} slots after {:.1?}: ready within {ready:.1?}, drained within {drain:.1?}",
            self.generation,
            self.slots.len(),
            self.took,
        )?;
        match killed {
            0 => Ok(()),
            n => write!(f, ", {n} killed at the drain deadline"),
        }
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} serves in slot {}, ready within {:.1?}", self.new, self.slot, self.to_ready)?;
        if let Some(old) = self.old {
            write!(f, "; {old} ended within {:.1?}", self.drain)?;
        }
        if self.killed { f.write_str(", killed at the drain deadline") } else { Ok(()) }
    }
}

/// What a change of the number of nodes did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScaleReport {
    /// Slots before.
    pub from: usize,
    /// Slots now.
    pub to: usize,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrderError {
    /// Another order is being carried out.
    #[error("{running} is under way; orders are carried out one at a time, so ask again when it has ended")]
    Busy {
        /// The order that is being carried out: `reload`, `restart`, `scale`.
        running: String,
    },
    /// The order came from a node, and nodes may not give orders.
    #[error("orders are given in the master; `Options::orders_from_nodes(true)` lets nodes give them")]
    NotFromNodes,
    /// The number of nodes asked for is not allowed.
    #[error(
        "cannot scale to {asked} nodes: allowed are 1 to {max} (`Options::max_nodes`); to end the program, order a shutdown"
    )]
    OutOfRange {
        /// What was asked for.
        asked: usize,
        /// The most that `max_nodes` allows.
        max: usize,
    },
    /// There is no such slot.
    #[error("there is no slot {slot}: the program has {slots} slots, counted from 0")]
    NoSuchSlot {
        /// What was asked for.
        slot: Slot,
        /// How many there are.
        slots: usize,
    },
    /// New nodes did not come up; those that served before still do.
    #[error("{why}; the nodes that served before go on serving")]
    Failed {
        /// What went wrong, in which slot.
        why: String,
    },
    /// The nodes run the new program, but their master could not be replaced by it.
    #[error("{why}; the nodes run the new program, and the master is the old one still")]
    MasterStays {
        /// What went wrong.
        why: String,
    },
    /// A shutdown came first.
    #[error("the program is shutting down")]
    ShuttingDown,
    /// There are no nodes: the program serves in the one process that called `listen`.
    #[error("the program runs as a single process, which has no nodes to order about")]
    SingleProcess,
    /// The master can no longer be reached.
    #[error("the master is gone")]
    MasterGone,
}
