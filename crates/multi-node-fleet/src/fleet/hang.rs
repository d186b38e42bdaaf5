//! Nodes whose runtime is silent: looked at, then aborted, one at a time.

use std::time::Instant;

use super::format::Span;
use super::{Action, Fatal, Fleet, GRACE, Level, after};
use crate::id::NodeId;

/// The silent node that is being dealt with, from its examination until it has ended or was cleared.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) id: NodeId,
    /// Until when its examination is waited for; none once it is being aborted.
    pub(super) examined_by: Option<Instant>,
}

impl Fleet {
    /// A sign of life.
    pub(super) fn heard(&mut self, now: Instant, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.heard = now;
            if self.examines(id) {
                self.suspect = None;
            }
        }
    }

    pub(super) fn examined(&mut self, now: Instant, id: NodeId, traced: bool, report: &str) {
        if !self.examines(id) {
            return;
        }
        self.suspect = None;
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.is_watched()) else {
            return;
        };
        if traced {
            node.heard = now;
            return;
        }
        let (slot, state) = (node.slot, node.state);
        let cause = format!("its runtime was silent for {}", Span(now.saturating_duration_since(node.heard)));
        node.cause = Some(cause.clone());
        self.tell(Level::Error, slot, id, format!("aborting it while {state}: {cause}; {report}"));
        self.suspect = Some(Suspect { id, examined_by: None });
        self.end_by(now, id, Fatal::Abort);
    }

    pub(super) fn look_for_hangs(&mut self, now: Instant) {
        // An examination without an answer must not shield all others for ever.
        if self.suspect.as_ref().and_then(|suspect| suspect.examined_by).is_some_and(|due| due <= now) {
            self.suspect = None;
        }
        let Some((_, id)) = self.most_silent().filter(|(due, _)| self.suspect.is_none() && *due <= now) else {
            return;
        };
        self.suspect = Some(Suspect { id, examined_by: Some(after(now, GRACE)) });
        self.act(Action::Examine { id });
    }

    pub(super) fn hang_due(&self) -> Option<Instant> {
        match &self.suspect {
            Some(suspect) => suspect.examined_by,
            None => self.most_silent().map(|(due, _)| due),
        }
    }

    pub(super) fn clear_suspicion(&mut self, id: NodeId) {
        if self.suspect.as_ref().is_some_and(|suspect| suspect.id == id) {
            self.suspect = None;
        }
    }

    /// The node with the oldest heartbeat among those that send any, and when its hang timeout expires.
    fn most_silent(&self) -> Option<(Instant, NodeId)> {
        let timeout = self.policy.hang_timeout?;
        self.nodes
            .iter()
            .filter(|(_, node)| node.is_watched())
            .map(|(&id, node)| (after(node.heard, timeout), id))
            .min()
    }

    fn examines(&self, id: NodeId) -> bool {
        self.suspect.as_ref().is_some_and(|suspect| suspect.id == id && suspect.examined_by.is_some())
    }
}
