//! Chooses the node for the next connection. Pure.

use std::collections::BTreeMap;

use crate::id::NodeId;

/// How many connections may be on their way to one node: one that does not answer gets no more.
const MOST_UNDER_WAY: usize = 64;

/// The nodes in the order in which they got connections.
#[derive(Debug, Default)]
pub(super) struct LeastLoaded {
    nodes: BTreeMap<NodeId, Record>,
    given: u64,
}

#[derive(Debug, Default)]
struct Record {
    under_way: usize,
    /// When it last had its turn.
    last: u64,
}

impl LeastLoaded {
    /// Of these nodes the one with the fewest connections on their way, and of several the one that waits for longest.
    pub(super) fn take(&mut self, among: impl Iterator<Item = NodeId>) -> Option<NodeId> {
        let rank = |id: NodeId| self.nodes.get(&id).map_or((0, 0), |record| (record.under_way, record.last));
        let (rank, id) = among.map(|id| (rank(id), id)).min()?;
        if rank.0 >= MOST_UNDER_WAY {
            return None;
        }
        self.given += 1;
        let record = self.nodes.entry(id).or_default();
        record.under_way += 1;
        record.last = self.given;
        Some(id)
    }

    /// This number of connections is on its way to the node already.
    pub(super) fn resume(&mut self, id: NodeId, under_way: usize) {
        self.nodes.entry(id).or_default().under_way = under_way;
    }

    /// The node has answered for one connection.
    pub(super) fn answered(&mut self, id: NodeId) {
        if let Some(record) = self.nodes.get_mut(&id) {
            record.under_way = record.under_way.saturating_sub(1);
        }
    }

    pub(super) fn forget(&mut self, id: NodeId) {
        self.nodes.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_take_turns_and_who_does_not_answer_waits() {
        let nodes = || (1..=3).map(NodeId::node);
        let mut turns = LeastLoaded::default();
        let first: Vec<_> = (0..6).filter_map(|_| turns.take(nodes())).collect();
        assert_eq!(first, [1, 2, 3, 1, 2, 3].map(NodeId::node));
        for id in [2, 2, 3, 3] {
            turns.answered(NodeId::node(id));
        }
        let next: Vec<_> = (0..4).filter_map(|_| turns.take(nodes())).collect();
        assert_eq!(next, [2, 3, 2, 3].map(NodeId::node), "node-1 has not answered for two");
        assert_eq!(turns.take(std::iter::empty()), None);
    }

    #[test]
    fn a_node_that_never_answers_is_full_at_last() {
        let mut turns = LeastLoaded::default();
        let only = || std::iter::once(NodeId::node(1));
        for _ in 0..MOST_UNDER_WAY {
            assert!(turns.take(only()).is_some());
        }
        assert_eq!(turns.take(only()), None);
        turns.answered(NodeId::node(1));
        assert!(turns.take(only()).is_some());
    }
}
