//! Looks at what nodes have done and how large they are: once a second, and only while somebody wants to know.

use std::time::{Duration, Instant};

use super::{Action, Course, Fleet, after};
use crate::id::NodeId;
use crate::status::State;

/// How often nodes are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What a node has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Requests begun.
    pub(crate) requests: u64,
    /// Requests that it has not fully answered: those under way, and those that it has cut.
    pub(crate) unanswered: u64,
    /// Connections open now.
    pub(crate) open: u64,
}

impl Fleet {
    /// Keeps the time of the next look, while there is to be one.
    pub(super) fn arrange_looks(&mut self, now: Instant) {
        let wanted = self.policy.recycling.counts() || self.policy.recycling.weighs();
        self.look_at = match wanted && matches!(self.course, Course::Running) {
            true => Some(self.look_at.unwrap_or_else(|| after(now, EVERY))),
            false => None,
        };
    }

    pub(super) fn look(&mut self, now: Instant) {
        if self.look_at.is_none_or(|due| due > now) {
            return;
        }
        self.look_at = Some(after(now, EVERY));
        let serving = self.nodes.iter().filter(|(_, node)| node.state == State::Serving);
        let nodes = serving.map(|(&id, _)| id).collect();
        self.act(Action::Look { nodes, weigh: self.policy.recycling.weighs() });
    }

    pub(super) fn counted(&mut self, tallies: &[(NodeId, Tally)]) {
        for (id, tally) in tallies {
            self.wear_by_requests(*id, tally.requests);
        }
    }
}
