//! To ask how the program is, and to give commands: what everybody in a process may hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use multi_node_bus::Bus;
#[cfg(test)]
use multi_node_bus::BusLimits;
use tokio::sync::{mpsc, watch};

use super::{StatusWatch, Terminators, bus_metrics, busy_metrics, move_metrics, tls_metrics};
use crate::Error;
use crate::before_listen::BeforeListen;
use crate::exits::{Exits, NodeExits};
use crate::id::{NodeId, Slot};
use crate::lease::Leader;
use crate::limits::SharedTable;
use crate::log_buffer::{Held, HeldOutput, LogBuffer, LogLine};
use crate::metrics::Metric;
use crate::process_links::{CommandRequest, End, Snapshot, Totals};
use crate::serve::{Addr, BusyHandoff, DrainSignal, LoadTable, Owners};
use crate::shared_secret::SharedSecret;
use multi_node_fleet::status::Status;
use multi_node_process::mesh::{Joined, PeerInfo, Rejoin};

/// This process's view of the program: who it is, how the others are, and commands to the fleet.
///
/// ```no_run
/// use multi_node::{Handle, Nodes};
///
/// # async fn f(nodes: Nodes) -> Result<(), Box<dyn std::error::Error>> {
/// let node: Handle = nodes.handle();
/// println!("{} serves at {}", node.id(), node.local_addr());
/// if node.is_master() {
///     node.ready().await?;
///     let report = node.reload().await?;
///     println!("generation {} serves after {:?}", report.generation, report.took);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cheap to clone. Every request carries one in its extensions, and [`http_with`](crate::http_with) gives one to its
/// factory. It keeps nothing alive: when [`Nodes`](crate::Nodes) is dropped the process drains, even while there are handles.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) id: NodeId,
    pub(crate) slot: Option<Slot>,
    pub(crate) addresses: Vec<Addr>,
    /// The same as people write it.
    pub(crate) names: Vec<String>,
    /// How many of them each server has.
    pub(crate) counts: Vec<usize>,
    pub(crate) load: LoadTable,
    pub(crate) bus: Bus,
    /// Set once the bus hears which processes of other machines leave.
    pub(crate) follows_machines: OnceLock<()>,
    /// The servers of this process that have TLS.
    pub(crate) terminators: Terminators,
    /// Where limits count.
    pub(crate) limits: SharedTable,
    pub(crate) leader: Leader,
    pub(crate) snapshot: watch::Receiver<Snapshot>,
    pub(crate) joined: watch::Receiver<Joined>,
    pub(crate) rejoin: Rejoin,
    pub(crate) drain: DrainSignal,
    pub(crate) end: watch::Receiver<Option<End>>,
    pub(crate) exits: Exits,
    pub(crate) asks: mpsc::Sender<CommandRequest>,
    /// The log, for those who follow it from outside; kept in the master alone, and where there is a control socket.
    pub(crate) log_buffer: LogBuffer,
    pub(crate) held: Held,
    pub(crate) secret: Option<SharedSecret>,
    /// Where requests have owners.
    pub(crate) owners: Option<Owners>,
    /// Where others take connections of this process while it computes.
    pub(crate) busy_handoff: Option<Arc<BusyHandoff>>,
}

impl Handle {
    /// What the master's program had opened when it called [`listen`](crate::listen()), where that is worth a warning
    /// ([`Options::warn_before_listen`](crate::Options::warn_before_listen)). `None` in nodes.
    pub fn before_listen(&self) -> Option<&'static BeforeListen> {
        BeforeListen::found()
    }

    pub(crate) fn new(inner: Inner) -> Handle {
        Handle(Arc::new(inner))
    }

    /// A handle of a process that has no part in anything, for tests of what only passes it on.
    #[cfg(test)]
    pub(crate) fn detached() -> Handle {
        Handle::new(Inner {
            id: NodeId::MASTER,
            slot: None,
            addresses: Vec::new(),
            names: Vec::new(),
            counts: Vec::new(),
            load: LoadTable::local(),
            bus: Bus::new(NodeId::MASTER, BusLimits::default()),
            follows_machines: OnceLock::new(),
            terminators: Terminators::new(),
            limits: crate::limits::of_this_process(1),
            leader: Leader::detached(),
            snapshot: watch::channel(Snapshot::default()).1,
            joined: watch::channel(Joined::default()).1,
            rejoin: mpsc::channel(1).0,
            drain: crate::serve::Drain::new().1,
            end: watch::channel(None).1,
            exits: Exits::new(),
            asks: mpsc::channel(1).0,
            log_buffer: LogBuffer::default(),
            held: Held::default(),
            secret: None,
            owners: None,
            busy_handoff: None,
        })
    }

    /// What the library counts in this process.
    pub(crate) fn own_metrics(&self) -> Vec<Metric> {
        let owned = self.0.owners.as_ref().map(|owners| move_metrics(owners.counts()));
        let busy = self.0.busy_handoff.as_ref().map(|handoff| busy_metrics(handoff)).unwrap_or_default();
        [bus_metrics(self.0.bus.counts()), tls_metrics(&self.0.terminators), owned.unwrap_or_default(), busy].concat()
    }

    /// Who answers the requests of each slot, where requests have owners.
    #[cfg(feature = "embed")]
    pub(crate) fn owners(&self) -> Option<&Owners> {
        self.0.owners.as_ref()
    }

    /// Who this process is: `master`, `node-1`, `node-2`…
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// Whether this process is the master; in single-process mode it is.
    pub fn is_master(&self) -> bool {
        self.0.id.is_master()
    }

    /// The slot that this process fills; `None` in the master.
    pub fn slot(&self) -> Option<Slot> {
        self.0.slot
    }

    /// A span named `node` with this process's id and slot, for the program's own log lines.
    pub fn span(&self) -> tracing::Span {
        let slot = self.slot().map(tracing::field::display);
        tracing::info_span!(target: "multi_node", "node", id = %self.id(), slot)
    }

    /// The first address that is served, as it was bound: with the real port where port 0 was asked for.
    ///
    /// # Panics
    /// Where none is served, which only `multi-node run` allows.
    pub fn local_addr(&self) -> Addr {
        self.0.addresses[0]
    }

    /// All addresses that are served, those of the first server first.
    pub fn local_addrs(&self) -> &[Addr] {
        &self.0.addresses
    }

    /// The addresses of one server, by its place among those that [`listen`](crate::listen) was given; empty where there is none.
    pub fn server_addrs(&self, server: usize) -> &[Addr] {
        let Inner { addresses, counts, .. } = &*self.0;
        let Some(count) = counts.get(server) else { return &[] };
        let first: usize = counts[..server].iter().sum();
        addresses.get(first..first + count).unwrap_or_default()
    }

    /// What is served, for people: also what was bound since nodes of another program have asked for it.
    pub(crate) fn served(&self) -> Vec<String> {
        self.0.names.iter().chain(&self.0.snapshot.borrow().bound).cloned().collect()
    }

    /// Which other processes are joined to this one now, by identity.
    pub fn peers(&self) -> BTreeMap<NodeId, PeerInfo> {
        BTreeMap::clone(&self.0.joined.borrow())
    }

    /// Asks the master for a new stream to a process, in place of one that this program has dropped. Both sides get it as a
    /// new [`Peer`](crate::mesh::Peer), with the next [`epoch`](PeerInfo::epoch); the old stream stays as it is. Nothing comes
    /// where that process has ended, and no second one within half a second.
    ///
    /// `false`: that process is not joined to this one, or 64 such requests wait already.
    pub fn rejoin(&self, id: NodeId) -> bool {
        self.0.joined.borrow().contains_key(&id) && self.0.rejoin.try_send(id).is_ok()
    }

    /// How all slots are now. In a node the states are at most about 100 ms old; the counters never are.
    pub fn status(&self) -> Status {
        // As long as the snapshot is borrowed, no line that it names is given to another process.
        let snapshot = self.0.snapshot.borrow();
        let mut status = snapshot.status.clone();
        for (slot, line) in status.slots.iter_mut().zip(&snapshot.lines) {
            let Some(line) = *line else { continue };
            let counts = self.0.load.counts(line);
            slot.connections = counts.open;
            slot.requests += counts.requests;
            slot.in_flight = counts.in_flight;
            slot.skipped_messages += counts.skipped;
        }
        status
    }

    /// What has been counted for each slot, by those that have ended too.
    pub(crate) fn totals(&self) -> BTreeMap<Slot, Totals> {
        let snapshot = self.0.snapshot.borrow();
        let mut totals = snapshot.ended.clone();
        for (slot, line) in snapshot.status.slots.iter().zip(&snapshot.lines) {
            let total = totals.entry(slot.slot).or_default();
            if let Some(line) = *line {
                *total += self.0.load.counts(line);
            }
        }
        totals
    }

    /// Snapshots as the fleet changes, the present one first.
    pub fn watch(&self) -> StatusWatch {
        let mut snapshot = self.0.snapshot.clone();
        snapshot.mark_changed();
        StatusWatch { handle: self.clone(), snapshot, last: None }
    }

    /// The ends of nodes from now on, each with its cause. The master has them; in a node there are none.
    pub fn exits(&self) -> NodeExits {
        self.0.exits.follow()
    }

    /// Resolves once every slot serves, at once where that is so already.
    ///
    /// # Errors
    /// As [`closed`](Handle::closed), when the program ends first. Cancel-safe.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut snapshot = self.0.snapshot.clone();
        let ready = async { snapshot.wait_for(|snapshot| snapshot.status.is_ready()).await.is_ok() };
        tokio::select! {
            true = ready => Ok(()),
            end = self.closed() => {
                end.and(Err(Error::NoNodes { cause: "the program ended before it was ready".to_owned() }))
            }
        }
    }

    /// Whether this process takes no new connections any more.
    pub fn is_draining(&self) -> bool {
        self.0.drain.is_draining()
    }

    /// Resolves once this process takes no new connections any more and has to finish what it has. Cancel-safe.
    pub async fn draining(&self) {
        self.0.drain.draining().await;
    }

    /// When a long conversation, such as a WebSocket, should say drain_notice: a signal of its own for each call, so that not
    /// all clients connect again at the same moment. They come 10 ms apart, or closer so that all come in the first half
    /// of the drain; at once where no other process serves on. Call it once for each connection, when it begins.
    pub fn drain_notice(&self) -> DrainSignal {
        self.0.drain.staggered()
    }

    /// Resolves once this process's service is over: in a node when the last request has been answered, in the master
    /// when the last node has ended. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::NoNodes`] in the master when no slot was left, [`Error::MasterGone`] in a node that outlived its
    /// master, [`Error::Start`] where a server ended that should have served on.
    pub async fn closed(&self) -> Result<(), Error> {
        let mut end = self.0.end.clone();
        let end = end.wait_for(Option::is_some).await.map(|end| end.clone());
        match end {
            Ok(Some(End::Done) | None) => Ok(()),
            Ok(Some(End::NoNodes(cause))) => Err(Error::NoNodes { cause }),
            Ok(Some(End::Failed(cause))) => Err(Error::Start { cause }),
            // Without its loop a process cannot know of its master.
            Ok(Some(End::MasterGone)) | Err(_) => Err(Error::MasterGone),
        }
    }

    /// Writes a line into the log that the control socket shows, beside what the master writes about its nodes. Where no
    /// control socket was opened, and in nodes, it is nobody's to read and is dropped.
    pub fn log(&self, line: LogLine) {
        self.0.log_buffer.write(|| line);
    }

    /// While the value lives, `status` of the control socket shows that the output of this node is held up. It is for programs that collect
    /// what nodes write: the node waits while they do not read.
    pub fn hold_output(&self, id: NodeId) -> HeldOutput {
        self.0.held.hold(id)
    }

    /// Whether somebody holds this node's output up.
    pub(crate) fn holds_output(&self, id: NodeId) -> bool {
        self.0.held.holds(id)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("id", &self.id()).field("slot", &self.slot()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_and_their_futures_go_to_any_thread() {
        fn can_be_sent<T: Send>(_: impl Fn(&'static Handle) -> T) {}
        fn can_be_shared<T: Clone + Send + Sync>() {}
        can_be_shared::<Handle>();
        can_be_sent(Handle::ready);
        can_be_sent(Handle::closed);
        can_be_sent(Handle::reload);
        can_be_sent(|handle: &'static Handle| handle.restart(Slot(0)));
        can_be_sent(Handle::draining);
    }
}
