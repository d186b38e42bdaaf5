//! What the program holds: [`Handle`] to ask and to order, [`Nodes`] which owns the peers and the lifetime.

mod handle;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, Deref};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

pub use self::handle::Handle;
pub(crate) use self::handle::Inner;
use crate::mesh::Arrivals;
use crate::order::{Order, Report};
use crate::serve::Counts;
use crate::{OrderError, Peer, Slot, Status};

/// How the fleet looks, and in which lines of the load table its counters are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// Its `requests` are those of processes that have ended.
    pub(crate) status: Status,
    /// For each entry of `status.slots`, the line that its process writes.
    pub(crate) lines: Vec<Option<usize>>,
    /// What processes have counted that have ended, also in slots that are there no more; known to the master alone.
    pub(crate) ended: BTreeMap<Slot, Totals>,
    /// What was bound since nodes of another program have asked for it; known to the master alone.
    pub(crate) bound: Vec<String>,
}

/// What all processes that ever filled a slot have counted together. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    /// Connections taken.
    pub(crate) accepted: u64,
    /// Requests begun.
    pub(crate) requests: u64,
    /// Messages of kinds that their receiver did not know.
    pub(crate) skipped: u64,
}

impl AddAssign<Counts> for Totals {
    fn add_assign(&mut self, counts: Counts) {
        self.accepted += counts.accepted;
        self.requests += counts.requests;
        self.skipped += counts.skipped;
    }
}

/// How this process's service ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Done,
    MasterGone,
    NoNodes(String),
    Failed(String),
}

/// An order on its way to the loop that can carry it out.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) order: Order,
    pub(crate) reply: oneshot::Sender<Result<Report, OrderError>>,
}

/// How often a [`StatusWatch`] looks whether counters have changed.
const COUNTERS_EVERY: Duration = Duration::from_secs(1);

/// Snapshots of the fleet, one for each change.
#[derive(Debug)]
pub struct StatusWatch {
    handle: Handle,
    snapshot: watch::Receiver<Snapshot>,
    last: Option<Status>,
}

impl StatusWatch {
    /// The next snapshot: the present one at first, then one whenever a state changes, and each second in which
    /// counters have. `None` once this process's service is over. Cancel-safe; who asks seldom misses what was between.
    pub async fn next(&mut self) -> Option<Status> {
        loop {
            tokio::select! {
                changed = self.snapshot.changed() => changed.ok()?,
                () = tokio::time::sleep(COUNTERS_EVERY) => {}
                _ = self.handle.closed() => return None,
            }
            let status = self.handle.status();
            if self.last.as_ref() != Some(&status) {
                self.last = Some(status.clone());
                return Some(status);
            }
        }
    }
}

/// This process's part in the program, as [`listen`](crate::listen) returns it. Derefs to [`Handle`].
///
/// Its lifetime is that of the service: dropped in the master it orders the shutdown, dropped in a node that node
/// drains and is replaced. The drop itself never blocks. A program therefore keeps it to its end:
///
/// ```no_run
/// # async fn f(mut nodes: multi_node::Nodes) -> Result<(), multi_node::Error> {
/// while let Some(peer) = nodes.next_peer().await {
///     println!("{} is joined to {}", nodes.id(), peer.id());
/// }
/// nodes.closed().await
/// # }
/// ```
#[must_use = "dropping it ends the service: keep it, and wait for `closed()`"]
pub struct Nodes {
    handle: Handle,
    arrivals: Arrivals,
}

impl Nodes {
    pub(crate) fn new(handle: Handle, arrivals: Arrivals) -> Nodes {
        Nodes { handle, arrivals }
    }

    /// A handle, which can be cloned and given away.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The next process to be joined to this one. Those that came earlier are given too, as far as they live. A process
    /// that drains is joined with every new one, so peers come until the last answer is out: `None` when
    /// [`closed`](Handle::closed) resolves. Cancel-safe.
    pub async fn next_peer(&mut self) -> Option<Peer> {
        std::future::poll_fn(|cx| self.arrivals.poll_next(cx)).await
    }
}

impl Deref for Nodes {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Stream for Nodes {
    type Item = Peer;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Peer>> {
        self.arrivals.poll_next(cx)
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nodes").field("handle", &self.handle).finish_non_exhaustive()
    }
}
