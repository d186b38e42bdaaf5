//! Names of newcomers, which are gathered for a moment, so that a node gets several in one message.

use std::time::Duration;

use tokio::time::Instant;

use crate::control::{Join, ToNode};
use crate::descriptors::PAIRS_AT_ONCE;

/// How long the name of a newcomer is held for those of others to go with it, unless something else is said to the node: where many nodes start at
/// once, each would wake all others.
const NAMES_WITHIN: Duration = Duration::from_millis(10);

/// Processes that a node has not been told of yet.
#[derive(Debug, Default)]
pub(super) struct Names {
    held: Vec<Join>,
    due: Option<Instant>,
}

impl Names {
    /// Keeps what names processes and no more; what else is said goes on, after those.
    pub(super) fn hold(&mut self, message: ToNode) -> Option<ToNode> {
        match message {
            ToNode::Joined { peers } if self.has_room(&peers) => {
                self.held.extend(peers);
                self.due.get_or_insert_with(|| Instant::now() + NAMES_WITHIN);
                None
            }
            other => Some(other),
        }
    }

    fn has_room(&self, peers: &[Join]) -> bool {
        let has_streams = |join: &Join| join.stream.is_some() || join.handoff.is_some();
        self.held.len() + peers.len() <= PAIRS_AT_ONCE && !peers.iter().any(has_streams)
    }

    /// Returns when they have to be told. Never, where there are none.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// All that are held.
    pub(super) fn take(&mut self) -> Option<ToNode> {
        self.due = None;
        let peers = std::mem::take(&mut self.held);
        (!peers.is_empty()).then_some(ToNode::Joined { peers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;
    use crate::mesh::PeerInfo;

    fn joined(number: u64, with_stream: bool) -> ToNode {
        let stream = with_stream.then(|| std::fs::File::open("/dev/null").expect("/dev/null").into());
        let peer = PeerInfo::new(NodeId::node(number), None, 1);
        ToNode::Joined { peers: vec![Join { peer, greets: false, bus: true, stream, handoff: None }] }
    }

    fn numbers(message: Option<ToNode>) -> Vec<u64> {
        let Some(ToNode::Joined { peers }) = message else { return Vec::new() };
        peers.iter().map(|join| join.peer.id().number()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn names_wait_for_each_other_and_for_nothing_else() {
        let mut names = Names::default();
        let begun = Instant::now();
        assert!(names.hold(joined(1, false)).is_none());
        tokio::time::advance(NAMES_WITHIN / 2).await;
        assert!(names.hold(joined(2, false)).is_none());
        names.due().await;
        assert_eq!(begun.elapsed(), NAMES_WITHIN, "since the first");
        assert_eq!(numbers(names.take()), [1, 2]);
        assert!(names.hold(joined(3, true)).is_some(), "a stream is wanted now");
        assert!(names.hold(ToNode::AllJoined).is_some());
        for number in 1..=PAIRS_AT_ONCE as u64 {
            assert!(names.hold(joined(number, false)).is_none());
        }
        assert_eq!(numbers(names.hold(joined(99, false))), [99], "no more go in one message");
        assert_eq!(numbers(names.take()).len(), PAIRS_AT_ONCE);
        assert!(names.take().is_none());
    }
}
