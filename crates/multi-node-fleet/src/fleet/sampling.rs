//! Samples the nodes' request counts and memory: once a second, and only while a rule needs it.

use std::time::{Duration, Instant};

use super::canary::Watched;
use super::{Action, Fleet, FleetPhase, after};
use crate::id::NodeId;
use crate::status::State;

/// How often nodes are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What a node has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests begun.
    pub requests: u64,
    /// Requests that it has not fully answered: those under way, and those that it has cut.
    pub unanswered: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests answered by a server error, or not at all since the service failed.
    pub errors: u64,
}

impl Fleet {
    /// Sets the time of the next sample, or none if nothing needs sampling.
    pub(super) fn arrange_sampling(&mut self, now: Instant) {
        let recycles = self.policy.recycling.counts() || self.policy.recycling.weighs();
        let verdict_at = self.reload().and_then(|reload| reload.trial.watched()).map(Watched::until);
        self.sample_at = match (recycles || verdict_at.is_some()) && matches!(self.course, FleetPhase::Running) {
            true => {
                let due = self.sample_at.unwrap_or_else(|| after(now, EVERY));
                Some(verdict_at.filter(|&at| at > now).map_or(due, |at| due.min(at)))
            }
            false => None,
        };
    }

    pub(super) fn look(&mut self, now: Instant) {
        if self.sample_at.is_some_and(|due| due <= now) {
            self.look_now(now);
        }
    }

    pub(super) fn look_now(&mut self, now: Instant) {
        self.sample_at = Some(after(now, EVERY));
        let serving = self.nodes.iter().filter(|(_, node)| node.state == State::Serving);
        let nodes = serving.map(|(&id, _)| id).collect();
        self.act(Action::Look { nodes, weigh: self.policy.recycling.weighs() });
    }

    pub(super) fn counted(&mut self, now: Instant, tallies: &[(NodeId, Tally)]) {
        self.sampled_at = Some(now);
        for (id, tally) in tallies {
            if let Some(node) = self.nodes.get_mut(id) {
                node.tally = Some(*tally);
            }
            self.wear_by_requests(*id, tally.requests);
        }
    }
}
