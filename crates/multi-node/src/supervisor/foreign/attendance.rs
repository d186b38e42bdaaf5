//! Attending to one node whose program says little or nothing about itself.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::control::ToMaster;
use crate::id::NodeId;
use crate::supervisor::child::Heard;

/// What is watched of one node from the moment that its program runs. Dropped, it watches no more.
#[derive(Debug)]
pub(in crate::supervisor) struct Attendance {
    ready_after: Duration,
    watchers: JoinSet<()>,
}

impl Attendance {
    pub(super) fn new(ready_after: Duration) -> Attendance {
        Attendance { ready_after, watchers: JoinSet::new() }
    }

    /// The program runs.
    pub(in crate::supervisor) fn begin(&mut self, id: NodeId, heard: mpsc::Sender<(NodeId, Heard)>) {
        let ready_after = self.ready_after;
        self.watchers.spawn(async move {
            tokio::time::sleep(ready_after).await;
            // An error means that the supervisor is gone.
            let _ = heard.send((id, Heard::Said(ToMaster::Ready))).await;
        });
    }
}
