//! Closes the listening sockets: new clients are refused, and waiting connections are served.
//!
//! Nodes that link the library accept waiting connections while they drain. Other programs do not, once they are asked to end.
//! So the master asks them only when no connection waits any more.

use std::time::Duration;

use tokio::time::Instant;

use super::members::Members;
use super::watch::NodeEvent;
use crate::id::NodeId;

/// The end of the sockets, once it has begun.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// Nodes that continue to serve until no connection waits.
    waiting: Vec<NodeId>,
    /// Until when they do at most.
    deadline: Option<Instant>,
}

impl Closing {
    /// Lets a node serve until no connection waits, but for at most half of its drain time.
    pub(super) fn wait(&mut self, id: NodeId, drain: Duration) {
        self.waiting.push(id);
        self.deadline.get_or_insert(Instant::now() + drain / 2);
    }
}

impl Members {
    /// Refuses new clients from now on, and gets an event when no connection waits any more.
    pub(super) fn refuse_newcomers(&mut self) {
        let deadline = self.closing.deadline;
        let Some(served) = self.template.workload.refuse_newcomers(&self.template.sockets, deadline) else { return };
        let events = self.events.clone();
        tokio::spawn(async move {
            if served.await {
                // An error means that the supervisor is gone.
                let _ = events.send((NodeId::MASTER, NodeEvent::QueuesEmpty)).await;
            }
        });
    }

    /// Drains the nodes that have waited for this, and closes the sockets. Their address is free when these nodes have ended.
    pub(super) fn queues_are_empty(&mut self) {
        for id in std::mem::take(&mut self.closing.waiting) {
            self.end(id);
        }
        self.template.sockets.clear();
        self.template.workload.close();
    }
}
