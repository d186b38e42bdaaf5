//! The count of open connections, and what became of those that are closed.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::drain::DrainSignal;
use crate::load::Line;

/// One open connection in the counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    tracker: Arc<ConnTracker>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether it continues in another process.
    leaves: bool,
}

/// What all connections of the process share: their count, and who is notified when the last one ends.
#[derive(Debug)]
pub(crate) struct ConnTracker {
    pub(crate) line: Line,
    /// Notified when no connection is open any more.
    empty: Notify,
    ends: Ends,
    drain: DrainSignal,
    #[cfg(multi_process)]
    pub(crate) acceptor: Option<crate::acceptor::Acceptor>,
}

/// What becomes of connections in a drain.
#[derive(Debug, Default)]
struct Ends {
    /// Other processes have taken them over.
    handed_off: AtomicU64,
    /// They were open still at its end.
    aborted: AtomicU64,
    /// They were idle, could not be handed off, and stayed open.
    kept: AtomicU64,
    /// Those of them that were idle until shortly before its end, and were closed then.
    kept_closed: AtomicU64,
}

impl ConnTracker {
    #[cfg(multi_process)]
    pub(crate) fn new(line: Line, drain: DrainSignal, acceptor: Option<crate::acceptor::Acceptor>) -> Arc<ConnTracker> {
        Arc::new(ConnTracker { line, empty: Notify::new(), ends: Ends::default(), drain, acceptor })
    }

    #[cfg(not(multi_process))]
    pub(crate) fn new(line: Line, drain: DrainSignal) -> Arc<ConnTracker> {
        Arc::new(ConnTracker { line, empty: Notify::new(), ends: Ends::default(), drain })
    }

    /// Takes no more connections.
    pub(crate) fn leave(&self) {
        self.line.end_serving();
        #[cfg(multi_process)]
        if let Some(acceptor) = &self.acceptor {
            acceptor.close();
        }
    }

    /// Counts a connection that was accepted.
    pub(crate) fn enter(self: &Arc<Self>) -> Open {
        self.line.opened(self.now_ms());
        Open { tracker: self.clone(), permit: None, leaves: false }
    }

    /// Counts a connection that comes from another process, which holds a place where places are limited.
    pub(crate) fn join(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Open {
        self.line.joined();
        Open { tracker: self.clone(), permit, leaves: false }
    }

    /// How many connections other processes have taken over.
    pub(crate) fn handed_off(&self) -> u64 {
        self.ends.handed_off.load(Relaxed)
    }

    /// How many connections were open at the end of the drain, those that are open still included.
    pub(crate) fn aborted(&self) -> u64 {
        self.ends.aborted.load(Relaxed) + self.line.open()
    }

    /// An idle connection stays open in the drain.
    pub(crate) fn keep(&self) {
        self.ends.kept.fetch_add(1, Relaxed);
    }

    /// Such a connection is closed.
    pub(crate) fn close_kept(&self) {
        self.ends.kept_closed.fetch_add(1, Relaxed);
    }

    /// How many idle connections stayed open in the drain, and how many of them were closed shortly before its end.
    pub(crate) fn kept(&self) -> (u64, u64) {
        (self.ends.kept.load(Relaxed), self.ends.kept_closed.load(Relaxed))
    }

    /// The time by which lines are compared; a process that is alone needs none.
    pub(crate) fn now_ms(&self) -> u64 {
        #[cfg(multi_process)]
        if self.acceptor.is_some() {
            return multi_node_sys::epoll::monotonic_ms();
        }
        0
    }

    /// Waits until no connection is open.
    pub(crate) async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.line.open() == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for ConnTracker {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Open {
    /// Holds a place among the allowed connections until this is dropped.
    pub(super) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.permit = Some(permit);
    }

    /// The connection continues in another process.
    pub(crate) fn handoff(mut self) {
        self.leaves = true;
        self.tracker.ends.handed_off.fetch_add(1, Relaxed);
    }

    /// As [`handoff`](Self::handoff), for one of its requests: no drain counts it.
    pub(crate) fn moved(mut self) {
        self.leaves = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.leaves && self.tracker.drain.is_over() {
            self.tracker.ends.aborted.fetch_add(1, Relaxed);
        }
        if self.tracker.line.closed() == 0 {
            self.tracker.empty.notify_waiters();
        }
        #[cfg(multi_process)]
        if let Some(acceptor) = &self.tracker.acceptor {
            acceptor.left_one();
        }
    }
}
