//! A line of the log, as it is kept and as clients of the control socket get it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, Slot};
use crate::status::unix_ms;

/// Some lines of the log, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Logged {
    /// How many lines before these were dropped before they could be read.
    pub missed: u64,
    /// The lines.
    pub lines: Vec<LogLine>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was received: milliseconds of Unix time.
    pub at_ms: u64,
    /// Who said it.
    pub source: Source,
    /// The slot that it concerns.
    pub slot: Option<Slot>,
    /// The node: `node-3`.
    pub id: Option<String>,
    /// `info`, `warn` or `error` where the master says it.
    pub level: Option<String>,
    /// The line, without its end.
    pub text: String,
}

impl LogLine {
    /// A line of the master about this slot and node.
    #[doc(hidden)]
    pub fn of_master(at: SystemTime, slot: Option<Slot>, id: Option<NodeId>, level: &str, text: &str) -> LogLine {
        let (id, level, text) = (id.map(|id| id.to_string()), Some(level.to_owned()), text.to_owned());
        LogLine { at_ms: unix_ms(at), source: Source::Master, slot, id, level, text }
    }

    /// A line that a node has written, without its end; `at` is when it was received.
    pub fn of_node(at: SystemTime, source: Source, slot: Option<Slot>, id: NodeId, text: impl Into<String>) -> LogLine {
        let (id, text) = (Some(id.to_string()), text.into());
        LogLine { at_ms: unix_ms(at), source, slot, id, level: None, text }
    }
}

/// Who said a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// The master, of its nodes.
    Master,
    /// A node's standard output.
    Stdout,
    /// A node's standard error.
    Stderr,
}
