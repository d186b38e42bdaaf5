//! A process's part in the program as its loop holds it: what its program asks, and what it publishes to it.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use multi_node_fleet::command::{Command, CommandError, Report};
use multi_node_fleet::id::Slot;
use multi_node_fleet::machines::Machines;
use multi_node_fleet::status::Status;
use multi_node_serve::{Counts, Drain, DrainSignal};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::exits::Exits;
use crate::mesh::Peers;

/// How the fleet looks, and in which lines of the load table its counters are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Its `requests` are those of processes that have ended.
    pub status: Status,
    /// For each entry of `status.slots`, the line that its process writes.
    pub lines: Vec<Option<usize>>,
    /// What processes have counted that have ended, also in slots that are there no more; known to the master alone.
    pub ended: BTreeMap<Slot, Totals>,
    /// What was bound since nodes of another program have asked for it; known to the master alone.
    pub bound: Vec<String>,
    /// What is known of other machines.
    pub machines: Machines,
}

/// What all processes that ever filled a slot have counted together. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Connections taken.
    pub accepted: u64,
    /// Requests begun.
    pub requests: u64,
    /// Messages of kinds that their receiver did not know.
    pub skipped: u64,
}

impl AddAssign<Counts> for Totals {
    fn add_assign(&mut self, counts: Counts) {
        self.accepted += counts.accepted;
        self.requests += counts.requests;
        self.skipped += counts.skipped;
    }
}

/// How this process's service ended.
#[derive(Clone, Debug)]
pub enum End {
    Done,
    MasterGone,
    NoNodes(String),
    Failed(String),
}

/// A command on its way to the loop that can carry it out.
#[derive(Debug)]
pub struct CommandRequest {
    pub command: Command,
    pub reply: oneshot::Sender<Result<Report, CommandError>>,
}

/// What a program asks of its loop about leases. `ticket` is a number that the process uses once.
#[derive(Debug)]
pub enum LeaseRequest {
    /// The lease of this name. The sender is used when it is granted.
    Seek { ticket: u64, name: String, granted: oneshot::Sender<()> },
    /// It is returned, or no longer wanted.
    Return { ticket: u64 },
}

/// The loop's ends.
#[derive(Debug)]
pub struct ProcessLinks {
    pub peers: Peers,
    pub asked: mpsc::Receiver<CommandRequest>,
    pub leases: mpsc::Receiver<LeaseRequest>,
    pub snapshot: watch::Sender<Snapshot>,
    pub end: watch::Sender<Option<End>>,
    pub exits: Exits,
    pub drain: Drain,
    pub draining: DrainSignal,
}
