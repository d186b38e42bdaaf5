//! Commands to the fleet, and what came of them.

mod canary;
mod not_applied;
mod serving;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::canary::{CanaryReport, RequestCounts};
pub use self::not_applied::{AppliedBy, NotApplied};
pub use self::serving::Serving;
use crate::id::{Generation, NodeId, Slot};
use crate::milliseconds::duration;

/// What the fleet can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "its names say all, and only our own crates see it")]
pub enum Command {
    Reload,
    /// A reload that does not wait for older generations to drain: it kills what is left of them.
    ReloadNow,
    /// A reload, after which the new program takes the master's place.
    Upgrade,
    /// Another node of the same program in this slot.
    Restart {
        slot: Slot,
    },
    Scale {
        nodes: usize,
    },
    /// A signal to the node in this slot, or to all of them; its number has been checked.
    Signal {
        slot: Option<Slot>,
        signal: i32,
    },
    /// `now`: without `shutdown_delay` and drain.
    Shutdown {
        now: bool,
    },
}

/// What a command that succeeded reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "its names say all, and only our own crates see it")]
pub enum Report {
    Reload(ReloadReport),
    Restart(Replacement),
    Scale(ScaleReport),
    /// The number of processes that were sent the signal.
    Signal {
        nodes: usize,
    },
    Shutdown,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReloadReport {
    /// The generation that serves now.
    pub generation: Generation,
    /// What happened in each slot, in the order it happened.
    pub slots: Vec<Replacement>,
    /// From the command to the end of the last drain.
    #[serde(rename = "took_ms", with = "duration")]
    pub took: Duration,
    /// How the first new node has stood its trial; `None` without `Options::canary`.
    #[serde(default)]
    pub canary: Option<CanaryReport>,
    /// Settings that have changed since the master has read them, and that a reload does not apply.
    #[serde(default)]
    pub not_applied: Vec<NotApplied>,
    /// What is wrong with the files of TLS certificates: the certificates before stay in force, in the new nodes too.
    #[serde(default)]
    pub certificate_errors: Vec<String>,
}

/// How one slot's node was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Replacement {
    /// The slot.
    pub slot: Slot,
    /// Who served before; `None` where the slot had no node.
    pub old: Option<NodeId>,
    /// Who serves now.
    pub new: NodeId,
    /// From the new node's start until it was ready.
    #[serde(rename = "to_ready_ms", with = "duration")]
    pub to_ready: Duration,
    /// From the command to drain until the old node's end; zero where there was none.
    #[serde(rename = "drain_ms", with = "duration")]
    pub drain: Duration,
    /// Whether the old node was killed before it had drained: at the drain deadline, or by a reload that did not wait.
    pub killed: bool,
    /// Connections that were open when the drain began and closed normally during it. `None` if the old node could not report
    /// this, because it died or speaks an older protocol.
    #[serde(default)]
    pub finished: Option<u64>,
    /// Connections that other nodes have taken over; `None` as above.
    #[serde(default)]
    pub handed_off: Option<u64>,
    /// Idle connections with TLS, which cannot be handed off, that stayed open for one more request. They count as finished too. `None` as
    /// above.
    #[serde(default)]
    pub kept: Option<u64>,
    /// Kept connections that sent no request, and were closed shortly before the old node's time was over; `None` as above.
    #[serde(default)]
    pub kept_closed: Option<u64>,
    /// Connections that were open still when the old node's time was over, or when it died; `None` where the slot had no
    /// node, and for a `program` that does not count them, since it does not link this crate.
    #[serde(default)]
    pub aborted: Option<u64>,
    /// HTTP requests that the old node had begun and not fully answered then; `None` as `aborted`.
    #[serde(default)]
    pub requests_failed: Option<u64>,
}

impl ReloadReport {
    /// Connections that have gone on in other nodes, as far as it is known.
    pub fn handed_off(&self) -> u64 {
        self.slots.iter().filter_map(|slot| slot.handed_off).sum()
    }

    /// Idle connections with TLS that stayed open for one more request, as far as it is known.
    pub fn kept(&self) -> u64 {
        self.slots.iter().filter_map(|slot| slot.kept).sum()
    }

    /// Kept connections that sent no request, and were closed shortly before their nodes' time was over, as far as it is known.
    pub fn kept_closed(&self) -> u64 {
        self.slots.iter().filter_map(|slot| slot.kept_closed).sum()
    }

    /// Connections that closed normally during the drains, as far as it is known.
    pub fn finished(&self) -> u64 {
        self.slots.iter().filter_map(|slot| slot.finished).sum()
    }

    /// Connections that were open still when their nodes' time was over, as far as it is known.
    pub fn aborted(&self) -> u64 {
        self.slots.iter().filter_map(|slot| slot.aborted).sum()
    }

    /// HTTP requests that were begun and not fully answered, as far as it is known.
    pub fn requests_failed(&self) -> u64 {
        self.slots.iter().filter_map(|slot| slot.requests_failed).sum()
    }
}

/// In one line: `generation 1 serves in 4 slots after 312.5ms: ready within 3.1ms, drained within 300.2ms; connections:
/// 40 handed off, 2 finished, 0 cut; 0 requests failed`. Connections and requests are left out where nothing is known of
/// them.
impl fmt::Display for ReloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.slots.iter().map(|s| s.to_ready).max().unwrap_or_default();
        let drain = self.slots.iter().map(|s| s.drain).max().unwrap_or_default();
        write!(
            f,
            "generation {} serves in {} slots after {:.1?}: ready within {ready:.1?}, drained within {drain:.1?}",
            self.generation,
            self.slots.len(),
            self.took,
        )?;
        match self.slots.iter().filter(|s| s.killed).count() {
            0 => {}
            killed => write!(f, ", {killed} killed while draining")?,
        }
        write_fates(f, &self.slots)?;
        self.canary.as_ref().map_or(Ok(()), |canary| write!(f, "; {canary}"))?;
        self.not_applied.iter().try_for_each(|setting| write!(f, "; not applied: {setting}"))?;
        self.certificate_errors
            .iter()
            .try_for_each(|error| write!(f, "; the certificates before stay in force: {error}"))
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} serves in slot {}, ready within {:.1?}", self.new, self.slot, self.to_ready)?;
        if let Some(old) = self.old {
            write!(f, "; {old} ended within {:.1?}", self.drain)?;
        }
        if self.killed {
            f.write_str(", killed while draining")?;
        }
        write_fates(f, std::slice::from_ref(self))
    }
}

/// What became of connections and requests, as far as it is known.
fn write_fates(f: &mut fmt::Formatter<'_>, slots: &[Replacement]) -> fmt::Result {
    let sum = |count: fn(&Replacement) -> Option<u64>| slots.iter().filter_map(count).reduce(|sum, count| sum + count);
    let (handed_off, finished) = (sum(|slot| slot.handed_off).unwrap_or(0), sum(|slot| slot.finished).unwrap_or(0));
    if let Some(aborted) = sum(|slot| slot.aborted) {
        write!(f, "; connections: {handed_off} handed off, {finished} finished")?;
        if let Some(kept @ 1..) = sum(|slot| slot.kept) {
            let closed = sum(|slot| slot.kept_closed).unwrap_or(0);
            write!(f, " ({kept} were kept, and {closed} of them closed while idle)")?;
        }
        write!(f, ", {aborted} cut")?;
    }
    sum(|slot| slot.requests_failed).map_or(Ok(()), |failed| write!(f, "; {failed} requests failed"))
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

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandError {
    /// Another command is being carried out.
    #[error("{running} is under way; commands are carried out one at a time, so ask again when it has ended")]
    Busy {
        /// The command that is being carried out: `reload`, `restart`, `scale`.
        running: String,
    },
    /// The command came from a node, and nodes may not give commands.
    #[error("commands are given in the master; `Options::commands_from_nodes(true)` lets nodes give them")]
    NotFromNodes,
    /// The number of nodes asked for is not allowed.
    #[error(
        "cannot scale to {asked} nodes: allowed are 1 to {max}; {}",
        if *asked == 0 { "to end the program, shut it down (`multi-node stop`)" } else { "`max_nodes` (`--max-nodes`) allows more" }
    )]
    OutOfRange {
        /// What was asked for.
        asked: usize,
        /// The most that `max_nodes` allows.
        max: usize,
    },
    /// The limit of open files (`RLIMIT_NOFILE`) has no room for this number of nodes.
    #[error(
        "cannot scale to {asked} nodes: the limit of open files has room for {max}; start the program with a higher one (`ulimit -n`, systemd: `LimitNOFILE=`)"
    )]
    OpenFiles {
        /// What was asked for.
        asked: usize,
        /// The most that fit.
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
    /// New nodes did not come up, or did not prove themselves.
    #[error("{why}; {serving}")]
    Failed {
        /// What went wrong, in which slot.
        why: String,
        /// Who serves now.
        #[serde(default)]
        serving: Serving,
    },
    /// It was to begin when another reload had ended, and meanwhile a later one was ordered, which runs what is on disk then.
    #[error("superseded before it began by a later {by}, whose answer tells what became of the nodes")]
    Superseded {
        /// The later command: `reload` or `upgrade`.
        by: String,
    },
    /// The nodes run the new program, but their master could not be replaced by it.
    #[error("{why}; the nodes run the new program, and the master is the old one still")]
    MasterStays {
        /// What went wrong.
        why: String,
    },
    /// The first new node did not stand its trial (`Options::canary`).
    #[error("{why}; it was taken back, {serving}")]
    RolledBack {
        /// What it was judged by.
        why: String,
        /// Who serves now.
        #[serde(default)]
        serving: Serving,
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

impl CommandError {
    /// The same for programs, as a word.
    pub fn code(&self) -> &'static str {
        match self {
            CommandError::Busy { .. } => "busy",
            CommandError::NotFromNodes => "not_from_nodes",
            CommandError::OutOfRange { .. } => "out_of_range",
            CommandError::OpenFiles { .. } => "open_files",
            CommandError::NoSuchSlot { .. } => "no_such_slot",
            CommandError::ShuttingDown => "shutting_down",
            CommandError::SingleProcess => "single_process",
            CommandError::Superseded { .. } => "superseded",
            CommandError::Failed { .. } => "failed",
            CommandError::MasterStays { .. } => "master_stays",
            CommandError::RolledBack { .. } => "rolled_back",
            CommandError::MasterGone => "master_gone",
        }
    }

    /// Whether it was begun before it failed; one that was refused has changed nothing.
    pub fn has_begun(&self) -> bool {
        use CommandError::{Failed, MasterGone, MasterStays, RolledBack};
        matches!(self, Failed { .. } | MasterStays { .. } | RolledBack { .. } | MasterGone)
    }
}
