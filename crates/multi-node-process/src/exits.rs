//! The exits of nodes, as they happen, for subscribers.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::{Exit, NodeId, Slot};

/// How many exits may wait for a follower; a slower one misses the oldest.
const KEPT: usize = 1024;

/// The end of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeExit {
    /// The node that has ended.
    pub id: NodeId,
    /// The slot that it filled.
    pub slot: Slot,
    /// The operating system's name for it, which may be another's by now.
    pub pid: u32,
    /// How it ended.
    pub exit: Exit,
}

/// The ends of nodes from one moment on; made by `Handle::exits`.
#[derive(Debug)]
pub struct NodeExits(broadcast::Receiver<NodeExit>);

impl NodeExits {
    /// The next end of a node, asked for or not; `None` once there will be none any more. Who asks seldom misses the oldest
    /// beyond 1024. Cancel-safe.
    pub async fn next(&mut self) -> Option<NodeExit> {
        loop {
            match self.0.recv().await {
                Ok(exit) => return Some(exit),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// Where exits are reported.
#[derive(Clone, Debug)]
pub struct Exits(broadcast::Sender<NodeExit>);

impl Exits {
    /// Without followers yet.
    #[expect(clippy::new_without_default, reason = "as channels are made")]
    pub fn new() -> Exits {
        Exits(broadcast::Sender::new(KEPT))
    }

    /// Tells followers that a node has ended.
    pub fn tell(&self, id: NodeId, slot: Slot, pid: u32, exit: Exit) {
        // An error means that there are no followers.
        let _ = self.0.send(NodeExit { id, slot, pid, exit });
    }

    /// The ends from now on.
    pub fn follow(&self) -> NodeExits {
        NodeExits(self.0.subscribe())
    }
}
