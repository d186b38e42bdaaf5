//! A node's loop.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use multi_node_bus::{Bus, LinkWanted, RemoteProcess, Wanted};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::leases::Leases;
use super::master::{self, Master};
use super::measures::Measures;
use super::orphan::Guard;
use super::owners::{self, Named};
use super::run::Outgoing;
use crate::command::{CommandError, Report};
use crate::control::{self, Fd, Join, NodeSettings, Reader, ToMaster, ToNode};
use crate::descriptors::LINKS_A_PEER;
use crate::handoff::{Links, Successors};
use crate::id::NodeId;
use crate::process_links::{CommandRequest, End, Snapshot};
use crate::serve::{self, AcceptControl, Drain, DrainSignal, Owners, Socket};
use crate::signals::NodeSignals;
use crate::tls::Receivers;
use crate::{Error, Heartbeat};
use multi_node_fleet::status::Status;
use multi_node_process::mesh::{self, PeerInfo, Peers, Wish};

/// The node's loop: it hears the master, the program and the signals, and owns what they change.
pub(super) struct Life {
    pub(super) id: NodeId,
    /// `None` once the master is gone.
    pub(super) reader: Option<Reader<ToNode>>,
    /// Until when the next master is waited for, once this one has said that it leaves.
    pub(super) next_master_due: Option<Instant>,
    /// The master's process; `None` once it has ended.
    pub(super) master: Option<Master>,
    /// The listening sockets, which are closed for the next start once the master is gone.
    pub(super) sockets: Vec<Socket>,
    pub(super) guard: Guard,
    pub(super) outbox: mpsc::Sender<Outgoing>,
    pub(super) peers: Peers,
    pub(super) asked: mpsc::Receiver<CommandRequest>,
    /// Commands that the master has not answered yet.
    pub(super) pending: BTreeMap<u64, oneshot::Sender<Result<Report, CommandError>>>,
    pub(super) tickets: u64,
    pub(super) leases: Leases,
    pub(super) snapshot: watch::Sender<Snapshot>,
    pub(super) drain: Drain,
    pub(super) draining: DrainSignal,
    /// Set once the last answer is out.
    pub(super) end: watch::Receiver<Option<End>>,
    pub(super) links: Links,
    /// Whether the master makes streams when they are asked for.
    pub(super) asks_for_streams: bool,
    /// How many descriptors of streams each other process has brought.
    pub(super) streams: BTreeMap<NodeId, usize>,
    /// Where requests have owners: who answers those of each slot.
    pub(super) owners: Option<Owners>,
    /// Whether it accepts no connections yet, since the master has not named it to nodes whose requests have owners.
    pub(super) unnamed: bool,
    /// The nodes that were named so.
    pub(super) named: Named,
    pub(super) bus: Bus,
    /// Peers to which a link of the bus was opened.
    pub(super) linked: BTreeSet<NodeId>,
    /// The links that the bus wants.
    pub(super) wanted: Wanted,
    pub(super) successors: Successors,
    /// Empty before the node serves.
    pub(super) accept_control: Arc<OnceLock<AcceptControl>>,
    pub(super) signals: NodeSignals,
    /// Whose pulse counts, where it is not this runtime's.
    pub(super) heartbeat: Option<Heartbeat>,
    /// How the service will have ended once it has drained.
    pub(super) fate: watch::Sender<End>,
    pub(super) measures: Measures,
    /// Where certificates go.
    pub(super) tls: Receivers,
    pub(super) settings: NodeSettings,
}

impl Life {
    pub(super) async fn run(mut self) {
        let mut pulse = serve::pulse();
        let mut last_beat = Instant::now();
        loop {
            tokio::select! {
                message = next(&mut self.reader) => self.hear(message),
                Some(ask) = self.asked.recv() => self.ask(ask).await,
                () = due(self.next_master_due) => self.orphaned(&Error::MasterGone),
                () = ended(self.master.as_ref()) => self.master_ended(),
                wish = self.peers.wish() => match wish {
                    Wish::Leave => self.leave("the program dropped its `Nodes`").await,
                    Wish::Peers => if self.asks_for_streams { self.tell(ToMaster::WantPeers).await },
                    // A full outbox means that the master does not read, and will not join anybody.
                    Wish::Rejoin(peer) => drop(self.outbox.try_send((ToMaster::Rejoin { peer }, None))),
                },
                wanted = self.wanted.recv() => self.want_link(wanted),
                // The way waits, and wants it again.
                Some(peer) = self.links.wanted() => drop(self.outbox.try_send((ToMaster::WantHandoff { peer }, None))),
                message = self.leases.next() => self.tell(message).await,
                () = self.signals.leave() => self.leave("a signal").await,
                () = over(&mut self.end), if self.peers.is_open() => self.peers.close(),
                _ = pulse.tick() => if self.heartbeat.as_ref().is_none_or(Heartbeat::take) {
                    self.accept_control.get().inspect(|accept_control| accept_control.beat());
                    // A program under `multi-node run` may look ready before it is.
                    self.open_if_named();
                    self.reader.iter_mut().for_each(|reader| reader.reserve.refill());
                    if self.settings.heartbeat.is_some_and(|every| last_beat.elapsed() >= every) {
                        last_beat = Instant::now();
                        // A full outbox holds earlier messages, which show as much.
                        let _ = self.outbox.try_send((ToMaster::Beat, None));
                    }
                }
            }
        }
    }

    fn hear(&mut self, message: io::Result<Option<ToNode>>) {
        match message {
            Ok(Some(ToNode::Joined { peers })) => {
                peers.into_iter().for_each(|join| self.join(join));
                self.set_owners();
            }
            Ok(Some(ToNode::Rejoined { peer, stream })) => self.rejoined(peer, stream),
            Ok(Some(ToNode::AllJoined)) => self.bus.members_complete(),
            Ok(Some(ToNode::LinkOpened { peer, epoch, link })) => self.link_opened(peer, epoch, link),
            Ok(Some(ToNode::PeerDrains { id })) => {
                self.peers.drains(id);
                self.named.forget(id);
            }
            Ok(Some(ToNode::Serves { id, slot })) => {
                self.named.add(id, slot);
                self.set_owners();
                self.open_if_named();
            }
            Ok(Some(ToNode::BusPeer { id, slot })) => self.bus.joined(id, slot, true),
            Ok(Some(ToNode::Gone { id })) => self.gone(id),
            Ok(Some(ToNode::Drain { within, successors, closing })) => {
                // Each connection that is handed off needs a second descriptor for a moment.
                self.reader.iter_mut().for_each(|reader| reader.reserve.spend());
                self.bus.draining();
                self.successors.set_successors(&self.links, &successors);
                match (successors.is_empty(), closing) {
                    (true, true) => self.drain.begin_last(within),
                    (true, false) => self.drain.begin(within),
                    (false, _) => self.drain.begin_staggered(within),
                }
            }
            Ok(Some(ToNode::Pause)) => drop(self.accept_control.get().map(AcceptControl::pause)),
            Ok(Some(ToNode::Resume)) => drop(self.accept_control.get().map(AcceptControl::resume)),
            Ok(Some(ToNode::Status { status, lines })) => self.see(status, lines),
            Ok(Some(ToNode::Machines(changes))) => {
                RemoteProcess::all_of(&changes.changed).for_each(|process| self.bus.remember(process));
                self.snapshot.send_modify(|snapshot| snapshot.machines.apply(changes));
            }
            Ok(Some(ToNode::Tls(state))) => {
                if let Err(error) = self.tls.replace(&state) {
                    crate::log::error!("cannot use the new certificates, so those before stay in force: {error}");
                }
            }
            Ok(Some(ToNode::LeaseGranted { ticket })) => self.leases.granted(ticket),
            Ok(Some(ToNode::Answer { ticket, result })) => {
                if let Some(reply) = self.pending.remove(&ticket) {
                    // The caller may have stopped waiting.
                    let _ = reply.send(result);
                }
            }
            // That is for gateways.
            Ok(Some(ToNode::Fleet(_))) => {}
            Ok(Some(ToNode::HelloAck(_) | ToNode::GatewayAck { .. } | ToNode::Exec(_) | ToNode::Refused { .. })) => {
                crate::log::warn!("the master repeats itself");
            }
            Ok(Some(ToNode::Departing { within })) => self.await_next_master(within),
            Ok(Some(ToNode::Adopted { settings })) => {
                self.next_master_due = None;
                self.guard.end_patience();
                self.measures.heed(&settings);
                self.settings = settings;
                self.leases.ask_again();
            }
            // Somebody may still come, but not by this way.
            Ok(None) | Err(_) if self.next_master_due.is_some() => self.reader = None,
            Ok(None) => self.orphaned(&Error::MasterGone),
            Err(error) => self.orphaned(&control::broken(&error)),
        }
    }

    fn await_next_master(&mut self, within: Duration) {
        crate::log::debug!("the master leaves for its successor");
        self.next_master_due = Some(Instant::now() + within);
        self.guard.be_patient(within);
    }

    fn see(&mut self, status: Status, lines: Vec<Option<usize>>) {
        self.named.leave_to(&status);
        self.links.see(&status, &lines);
        self.snapshot.send_modify(|snapshot| (snapshot.status, snapshot.lines) = (status, lines));
        self.set_owners();
        self.open_if_named();
    }

    /// Accepts connections once the other nodes know that it serves: what its clients send on other connections reaches it then.
    fn open_if_named(&mut self) {
        let serves = || self.named.has(self.id) || owners::serves(&self.snapshot.borrow().status, self.id);
        if self.unnamed
            && serves()
            && let Some(accept_control) = self.accept_control.get()
        {
            self.unnamed = false;
            accept_control.open();
        }
    }

    /// Makes the newest serving node of each slot the owner of that slot's requests, as far as there are owners.
    fn set_owners(&self) {
        if let Some(owners) = &self.owners {
            owners.set(owners::of_slots(&self.snapshot.borrow().status, &self.named, self.id, &self.links));
        }
    }

    /// Nobody goes on in the process of the master, whatever it has said. The next start may have its addresses.
    fn master_ended(&mut self) {
        self.master = None;
        if self.reader.is_some() || self.next_master_due.is_some() {
            self.orphaned(&Error::MasterGone);
        }
        let sockets = std::mem::take(&mut self.sockets);
        if self.settings.own_sockets {
            tokio::spawn(master::close(sockets));
        }
    }

    /// Without a master a node finishes what it has, and leaves.
    fn orphaned(&mut self, error: &Error) {
        (self.reader, self.next_master_due) = (None, None);
        self.pending.clear();
        self.bus.draining();
        // Nobody names others any more.
        self.bus.members_complete();
        self.fate.send_replace(End::MasterGone);
        self.successors.set_successors(&self.links, &[]);
        self.drain.begin(self.settings.drain_timeout);
        crate::log::warn!("draining: {error}");
    }

    fn join(&mut self, Join { peer, greets, bus, stream, handoff }: Join) {
        let id = peer.id();
        // Also where its stream cannot be used.
        self.peers.name(peer);
        self.bus.joined(id, peer.slot(), bus);
        self.links.name(id);
        // The log has named the loss of one already.
        let owned = |fd: Option<Fd>| fd.and_then(|fd| fd.into_owned().ok());
        let (stream, handoff) = (owned(stream), owned(handoff));
        let streams = stream.iter().chain(&handoff).count();
        *self.streams.entry(id).or_default() += streams;
        self.reader.iter_mut().for_each(|reader| reader.reserve.give(streams));
        let stream = stream.map(|stream| mesh::transport(stream).map(|stream| self.peers.join(peer, stream)));
        let handoff = handoff.map(|handoff| self.links.open(id, handoff, greets));
        for error in stream.into_iter().chain(handoff).filter_map(Result::err) {
            crate::log::error!(peer = %id, %error, "cannot use the stream to a peer");
        }
    }

    /// Another process has ended. With a gateway there were no streams.
    fn gone(&mut self, id: NodeId) {
        self.peers.part(id);
        self.links.part(id);
        self.bus.gone(id);
        self.named.forget(id);
        let streams = self.streams.remove(&id).unwrap_or(0);
        let links = if self.linked.remove(&id) { LINKS_A_PEER } else { 0 };
        self.reader.iter_mut().for_each(|reader| reader.reserve.take_back(streams + links));
    }

    fn rejoined(&mut self, peer: PeerInfo, stream: Fd) {
        match stream.into_owned().and_then(mesh::transport) {
            Ok(stream) => self.peers.join(peer, stream),
            Err(error) => crate::log::error!(peer = %peer.id(), %error, "cannot use the stream to a peer"),
        }
    }

    /// A full outbox means that the master does not read. The bus asks once more after a while.
    fn want_link(&self, LinkWanted { peer, broken_epoch }: LinkWanted) {
        drop(self.outbox.try_send((ToMaster::OpenLink { peer, broken_epoch }, None)));
    }

    fn link_opened(&mut self, peer: NodeId, epoch: u64, link: Fd) {
        let Ok(link) = link.into_owned() else { return };
        // One that is opened again takes the place of one that was closed.
        if self.linked.insert(peer) {
            self.reader.iter_mut().for_each(|reader| reader.reserve.give(LINKS_A_PEER));
        }
        if let Err(error) = self.bus.attach(peer, epoch, UnixStream::from(link)) {
            crate::log::error!(%peer, %error, "cannot use the link of the bus to a peer");
        }
    }

    /// Waits for room, since nothing is asked twice of the same master.
    async fn tell(&self, message: ToMaster) {
        if self.reader.is_some() {
            // An error means that the master is gone.
            let _ = self.outbox.send((message, None)).await;
        }
    }

    async fn ask(&mut self, ask: CommandRequest) {
        if self.reader.is_none() {
            let _ = ask.reply.send(Err(CommandError::MasterGone));
            return;
        }
        self.tickets += 1;
        self.pending.insert(self.tickets, ask.reply);
        let message = ToMaster::Command { ticket: self.tickets, command: ask.command };
        if self.outbox.send((message, None)).await.is_err() {
            self.pending.remove(&self.tickets);
        }
    }

    /// The node drains on its own initiative; its master fills the slot again.
    async fn leave(&mut self, why: &str) {
        if self.draining.is_draining() {
            return;
        }
        crate::log::info!("draining: {why}");
        // An error means that the master is gone.
        let _ = self.outbox.send((ToMaster::Leaving, None)).await;
        self.bus.draining();
        self.drain.begin_staggered(self.settings.drain_timeout);
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Resolves once this process's service is over.
async fn over(end: &mut watch::Receiver<Option<End>>) {
    // An error means that nobody will set it: a failed start, after which the process ends.
    let _ = end.wait_for(Option::is_some).await;
}

/// Resolves when the master's process has ended. Cancel-safe.
async fn ended(master: Option<&Master>) {
    match master {
        Some(master) => master.ended().await,
        None => std::future::pending().await,
    }
}

async fn next(reader: &mut Option<Reader<ToNode>>) -> io::Result<Option<ToNode>> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}
