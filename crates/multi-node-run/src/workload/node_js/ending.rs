//! The primary in a shutdown, as those see it who wait for its last connections.

use tokio::sync::{mpsc, oneshot};

use super::primary::ToPrimary;
use crate::serve::Socket;

/// The way to a primary that has to end.
#[derive(Debug)]
pub(in crate::workload) struct Ending(mpsc::Sender<ToPrimary>);

impl Ending {
    pub(in crate::workload) fn of(inbox: mpsc::Sender<ToPrimary>) -> Ending {
        Ending(inbox)
    }

    /// The sockets from which it accepts.
    pub(in crate::workload) async fn sockets(&self) -> Vec<Socket> {
        self.ask(|reply| ToPrimary::Sockets { reply }).await.unwrap_or_default()
    }

    /// Whether it has accepted connections that no worker could be given yet.
    pub(in crate::workload) async fn has_waiting(&self) -> bool {
        self.ask(|reply| ToPrimary::Waits { reply }).await.unwrap_or_default()
    }

    /// Has it accept no more, and let go of its sockets.
    pub(in crate::workload) async fn close(&self) {
        // An error means that it has ended.
        let _ = self.0.send(ToPrimary::Close).await;
    }

    /// `None`: the primary has ended.
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> ToPrimary) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(question(reply)).await.ok()?;
        answer.await.ok()
    }
}
