//! What the canary of a reload was judged by.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::milliseconds::duration;

/// How the first new node of a reload has stood its trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CanaryReport {
    /// The new node.
    pub node: NodeId,
    /// How long it was watched.
    #[serde(rename = "watched_ms", with = "duration")]
    pub watched: Duration,
    /// What it answered.
    pub new: RequestCounts,
    /// What the old nodes answered, as far as it was compared.
    pub old: RequestCounts,
    /// Whether answers were judged. Else the new node answered too few HTTP requests, or its servers speak no HTTP, and
    /// what was judged is that it lived and that its runtime was not silent.
    pub by_answers: bool,
}

/// HTTP requests that were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// All of them.
    pub requests: u64,
    /// Those with a status of 500 to 599, or without any answer since the service failed or panicked.
    pub errors: u64,
}

impl fmt::Display for CanaryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CanaryReport { node, watched, new, old, by_answers } = self;
        match by_answers {
            true => write!(
                f,
                "{node} stood its trial of {watched:.1?}: server errors in {new}, and in {old} of the old nodes"
            ),
            false => write!(f, "{node} lived through its trial of {watched:.1?}, with too few answers to judge: {new}"),
        }
    }
}

impl fmt::Display for RequestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} requests", self.errors, self.requests)
    }
}
