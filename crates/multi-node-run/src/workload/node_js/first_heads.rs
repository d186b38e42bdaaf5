//! New connections whose first heads are looked at before a worker gets them, since requests have owners.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::primary::ToPrimary;
use crate::serve::{Affinity, NewConn};
use crate::supervisor::told_to_rest;

/// How many connections may wait for their heads. Those beyond go to any worker.
const PLACES: usize = 1024;

/// The waiting room, beside the way of connections that are accepted; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct FirstHeads {
    affinity: Affinity,
    places: Arc<Semaphore>,
    inbox: mpsc::WeakSender<ToPrimary>,
}

impl FirstHeads {
    pub(super) fn new(affinity: Affinity, inbox: mpsc::WeakSender<ToPrimary>) -> FirstHeads {
        FirstHeads { affinity, places: Arc::new(Semaphore::new(PLACES)), inbox }
    }

    /// A place for one more connection.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.places.available_permits() < PLACES
    }

    /// Sends the connection to the primary with the key of its first request, once that has come, or all are to rest.
    pub(super) async fn look(
        self,
        server: String,
        stream: OwnedFd,
        _place: OwnedSemaphorePermit,
        mut rest: watch::Receiver<bool>,
    ) {
        // If it cannot be watched, or be let go of, nothing is left to answer on.
        let Ok(conn) = NewConn::new(stream) else { return };
        let of_request = tokio::select! {
            key = conn.key(&self.affinity) => key,
            () = told_to_rest(&mut rest) => None,
        };
        let Ok(stream) = conn.into_socket() else { return };
        if let Some(inbox) = self.inbox.upgrade() {
            // An error means that the master ends.
            let _ = inbox.send(ToPrimary::Looked { key: server, stream, of_request }).await;
        }
    }
}
