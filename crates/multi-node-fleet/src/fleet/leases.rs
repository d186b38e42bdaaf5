//! Which node holds which lease.

use super::{Action, Fleet, Level, LogEvent, Node};
use crate::id::{Generation, NodeId};
use crate::leases::{Claim, Standing};
use crate::status::State;

impl Fleet {
    pub(super) fn seeks_lease(&mut self, name: &str, claim: Claim) {
        if !self.nodes.contains_key(&claim.id) {
            return;
        }
        if let Err(why) = self.leases.seek(name, claim) {
            let text = format!("the node does not get a lease: {why}");
            self.act(Action::Tell(LogEvent { level: Level::Warn, slot: None, id: Some(claim.id), text }));
        }
    }

    /// Grants leases that have become free.
    pub(super) fn grant_leases(&mut self) {
        let replaced_by = if self.is_reloading() { self.newest_serving() } else { None };
        let nodes = &self.nodes;
        let standing = |id: NodeId| nodes.get(&id).map_or(Standing::Gone, |node| standing(node, replaced_by));
        for claim in self.leases.settle(standing) {
            self.act(Action::GrantLease(claim));
        }
    }

    fn newest_serving(&self) -> Option<Generation> {
        self.nodes.values().filter(|node| node.state == State::Serving).map(|node| node.generation).max()
    }
}

/// `replaced_by`: the generation that replaces all older nodes now. Those wait, since they would lose a lease soon.
fn standing(node: &Node, replaced_by: Option<Generation>) -> Standing {
    match node.state {
        State::Serving if replaced_by.is_some_and(|newest| node.generation < newest) => Standing::Waits,
        State::Serving => Standing::Serves(node.generation),
        State::Starting | State::Initializing => Standing::Waits,
        _ => Standing::Leaves,
    }
}
