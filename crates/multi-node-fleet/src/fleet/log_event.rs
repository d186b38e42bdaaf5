//! What the rules write into the log.

use crate::id::{NodeId, Slot};

/// A line for the log: one for each thing that happened to a node.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    pub level: Level,
    pub slot: Option<Slot>,
    pub id: Option<NodeId>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}
