//! What the program holds: [`Handle`] for queries and commands, and [`Nodes`], which owns the peers and the lifetime.

mod bus;
mod commands;
mod handle;
mod leader;
mod machines;
mod moves;
mod remote_peers;
mod shared;
mod tls;

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::watch;

pub(crate) use self::bus::bus_metrics;
pub use self::handle::Handle;
pub(crate) use self::handle::Inner;
pub use self::machines::{MachineEvent, MachineEvents, WhyLeft};
pub(crate) use self::moves::{busy_metrics, move_metrics};
pub use self::remote_peers::RemotePeer;
pub(crate) use self::tls::{Terminators, tls_metrics};
use crate::process_links::Snapshot;
use multi_node_fleet::status::Status;
use multi_node_process::mesh::{Arrivals, Peer};

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
/// Its lifetime is that of the service: dropped in the master it commands the shutdown, dropped in a node that node
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
    ///
    /// The first call asks for the streams: a program in which no process calls it has none.
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
