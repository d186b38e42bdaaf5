//! Links that the owner is to have made.

use std::sync::Arc;

use multi_node_fleet::id::NodeId;

use super::Members;

/// A link to this peer is wanted. The owner makes one socket pair per pair of processes and epoch, and attaches both ends with an
/// epoch above `broken_epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkWanted {
    /// The other process.
    pub peer: NodeId,
    /// The highest epoch that this process has seen of the pair, 0 before the first link.
    pub broken_epoch: u64,
}

/// The links that are wanted. It has at most one entry per peer.
#[derive(Debug)]
pub struct Wanted(Arc<Members>);

impl Wanted {
    pub(crate) fn new(members: Arc<Members>) -> Wanted {
        Wanted(members)
    }

    /// The next link that is wanted. It is cancel safe.
    pub async fn recv(&mut self) -> LinkWanted {
        self.0.next_wanted().await
    }
}
