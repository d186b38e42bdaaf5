//! Messages on their way to a worker.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::queue::{Queue, Queued};
use crate::shared_secret::Hidden;

/// How many messages of the primary to the worker may wait.
const QUEUE: usize = 256;

/// A message to a worker, and the descriptor that it carries.
pub(in crate::workload) type Outgoing = (Value, Option<Arc<OwnedFd>>);

/// The primary's way to a worker.
#[derive(Clone, Debug)]
pub(in crate::workload) struct Outbox {
    own: mpsc::Sender<Outgoing>,
    /// What the primary process sends: however much that is, the primary's own messages do not wait for it.
    relayed: Queue,
}

/// What comes by it.
#[derive(Debug)]
pub(super) struct Messages {
    own: mpsc::Receiver<Outgoing>,
    relayed: mpsc::Receiver<Queued>,
}

impl Outbox {
    pub(super) fn new() -> (Outbox, Messages) {
        let ((own, messages), (relayed, queued)) = (mpsc::channel(QUEUE), Queue::new());
        (Outbox { own, relayed }, Messages { own: messages, relayed: queued })
    }

    /// An outbox without a reader.
    pub(super) fn nowhere() -> Outbox {
        Outbox::new().0
    }

    pub(super) fn try_send(&self, message: Outgoing) -> Result<(), mpsc::error::TrySendError<Outgoing>> {
        self.own.try_send(message)
    }

    /// Whether there was room for a message of the primary process.
    pub(super) fn relay(&self, line: Bytes) -> bool {
        self.relayed.put(line)
    }
}

impl Messages {
    /// The next line; none any more when the primary is gone. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Line> {
        tokio::select! {
            biased;
            message = self.own.recv() => message.map(Line::from),
            Some(queued) = self.relayed.recv() => Some(queued.into()),
        }
    }

    /// The next that waits already.
    pub(super) fn waiting(&mut self) -> Option<Line> {
        self.own.try_recv().map(Line::from).or_else(|_| self.relayed.try_recv().map(Line::from)).ok()
    }
}

/// A message in writing. The descriptor goes with its first byte.
pub(super) struct Line {
    pub(super) bytes: Bytes,
    pub(super) fd: Option<Arc<OwnedFd>>,
    /// What it takes of its queue.
    #[expect(dead_code, reason = "that it is dropped says it all")]
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Its bytes may hold ticket keys.
impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Line")
            .field("bytes", &Hidden(&self.bytes))
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}

impl From<Outgoing> for Line {
    fn from((message, fd): Outgoing) -> Line {
        Line { bytes: format!("{message}\n").into(), fd, room: None }
    }
}

impl From<Queued> for Line {
    fn from(queued: Queued) -> Line {
        let (bytes, room) = queued.apart();
        Line { bytes, fd: None, room }
    }
}
