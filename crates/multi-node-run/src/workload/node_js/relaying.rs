//! The primary as the relay between workers and the primary process (`--primary FILE`).

use bytes::Bytes;
use tokio::sync::oneshot;

use super::primary::Primary;
use super::queue::Queue;
use super::relay::Warning;
use crate::id::NodeId;

/// News of the primary process.
#[derive(Debug)]
pub(in crate::workload) enum OfProcess {
    /// There is a process from now on, or none any more.
    Expected(bool),
    /// It listens. The answer is what to send to it first.
    Connected { queue: Queue, first: oneshot::Sender<Vec<Bytes>> },
    /// It listens no longer.
    Gone,
    /// It sends a line to a worker.
    Send { to: NodeId, line: Bytes },
}

impl Primary {
    pub(super) fn of_process(&mut self, told: OfProcess) {
        match told {
            OfProcess::Expected(expected) => self.relay.expect(expected),
            OfProcess::Connected { queue, first } => {
                // If the process ended meanwhile, `Gone` follows.
                let _ = first.send(self.relay.connect(queue));
            }
            OfProcess::Gone => self.relay.disconnect(),
            OfProcess::Send { to, line } => self.pass_on(to, line),
        }
    }

    /// A worker that has gone gets nothing, as in node:cluster.
    fn pass_on(&mut self, to: NodeId, line: Bytes) {
        let Some(worker) = self.workers.get_mut(&to) else { return };
        if !worker.outbox.relay(line)
            && let Some(count) = worker.dropped.one_more()
        {
            crate::log::warn!(id = %to, count, "messages of the primary process are dropped: the node does not read them");
        }
    }
}

/// Says what there is to say about the relay.
pub(super) fn warn(id: NodeId, warning: Option<&Warning>) {
    match warning {
        Some(Warning::NoProcess) => crate::log::warn!(
            %id,
            "a Node.js program sends messages to its primary, and they are dropped; \
             if its code for the primary is to take them, run that with --primary FILE"
        ),
        Some(Warning::Dropped(count)) => {
            crate::log::warn!(%id, count, "messages to the primary process are dropped: it does not read them");
        }
        None => {}
    }
}
