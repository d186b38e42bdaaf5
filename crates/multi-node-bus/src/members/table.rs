//! The members behind one lock, which is never held together with another one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use multi_node_fleet::id::{NodeId, Slot};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::member::{Attachment, Link, Member};
use super::{LinkWanted, PeerStatus};
use crate::counts::Counts;
use crate::limits::BusLimits;
use crate::link::{LinkError, Outbox};

/// Who takes part beside this process.
#[derive(Debug)]
pub(crate) struct Members {
    limits: BusLimits,
    counts: Arc<Counts>,
    runtime: Handle,
    state: Mutex<State>,
    /// Wakes the one who forwards what is wanted.
    wanted: Notify,
    /// Changes with the members and their links.
    changed: watch::Sender<()>,
    /// How many members don't take part in the bus.
    without_bus: AtomicU32,
    /// How many do.
    speaking: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// The owner has named all members that there were when this process joined.
    complete: bool,
    members: BTreeMap<NodeId, Member>,
    wanted: VecDeque<LinkWanted>,
}

/// What came of a stream that the owner attached.
#[derive(Debug)]
pub(crate) enum Attached {
    /// It is the link now, after the link before it has been read to its end.
    After(Option<(Arc<Outbox>, watch::Receiver<()>)>),
    /// Its epoch is not above the present one, or the peer is no member.
    Stale,
}

impl Members {
    pub(crate) fn new(limits: BusLimits, counts: Arc<Counts>, runtime: Handle) -> Members {
        let (state, wanted, changed) = (Mutex::default(), Notify::new(), watch::Sender::new(()));
        Members {
            limits,
            counts,
            runtime,
            state,
            wanted,
            changed,
            without_bus: AtomicU32::new(0),
            speaking: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees each later change of members and links.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The owner has named all members that there were when this process joined.
    pub(crate) fn complete(&self) {
        self.lock().complete = true;
        self.changed.send_replace(());
    }

    /// Waits until the owner has named all members.
    pub(crate) async fn until_complete(&self) {
        let mut changes = self.watch();
        while !self.lock().complete {
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    pub(crate) fn joined(&self, id: NodeId, slot: Option<Slot>, speaks_bus: bool) {
        let mut state = self.lock();
        let spoke = state.members.get(&id).map(|member| member.speaks_bus);
        match state.members.get_mut(&id) {
            Some(member) => (member.slot, member.speaks_bus) = (slot, speaks_bus),
            None => drop(state.members.insert(id, Member::new(slot, speaks_bus))),
        }
        self.count(spoke, Some(speaks_bus));
        drop(state);
        self.changed.send_replace(());
    }

    /// Forgets a member, and gives its link, which has to be read to its end.
    pub(crate) fn gone(&self, id: NodeId) -> Option<Arc<Outbox>> {
        let mut state = self.lock();
        state.wanted.retain(|wanted| wanted.peer != id);
        let member = state.members.remove(&id);
        self.count(member.as_ref().map(|member| member.speaks_bus), None);
        drop(state);
        self.changed.send_replace(());
        match member?.link {
            Link::Attached(attachment) => Some(attachment.outbox),
            Link::Wanted(asking) => {
                asking.abort();
                None
            }
            Link::Unused => None,
        }
    }

    /// Counts a member that took part in the bus or not, and does now or not; `None`: it was, or is, no member. Under the lock.
    fn count(&self, before: Option<bool>, now: Option<bool>) {
        match before {
            Some(true) => drop(self.speaking.fetch_sub(1, Ordering::Relaxed)),
            Some(false) => drop(self.without_bus.fetch_sub(1, Ordering::Relaxed)),
            None => {}
        }
        match now {
            Some(true) => drop(self.speaking.fetch_add(1, Ordering::Relaxed)),
            Some(false) => drop(self.without_bus.fetch_add(1, Ordering::Relaxed)),
            None => {}
        }
    }

    /// How many members take part in the bus.
    pub(crate) fn speaking_count(&self) -> usize {
        self.speaking.load(Ordering::Relaxed)
    }

    /// How many members don't take part in the bus.
    pub(crate) fn without_bus(&self) -> u32 {
        self.without_bus.load(Ordering::Relaxed)
    }

    pub(crate) fn attach(&self, outbox: &Arc<Outbox>, over: watch::Receiver<()>) -> Attached {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&outbox.peer).filter(|member| outbox.epoch > member.epoch) else {
            self.counts.stale_links.one();
            return Attached::Stale;
        };
        member.epoch = outbox.epoch;
        let attachment = Attachment { outbox: outbox.clone(), open: false, since: Instant::now(), over };
        let before = std::mem::replace(&mut member.link, Link::Attached(attachment));
        state.wanted.retain(|wanted| wanted.peer != outbox.peer);
        match before {
            Link::Attached(before) => Attached::After(Some((before.outbox, before.over))),
            Link::Wanted(asking) => {
                asking.abort();
                Attached::After(None)
            }
            Link::Unused => Attached::After(None),
        }
    }

    /// Whether the process that says hello has begun its sequences anew since its last hello.
    pub(crate) fn began_anew(&self, id: NodeId, incarnation: u64) -> bool {
        self.lock().members.get_mut(&id).is_some_and(|member| member.began_anew(incarnation))
    }

    /// The peer has said hello. False when the link is no longer the present one.
    pub(crate) fn opened(&self, outbox: &Outbox) -> bool {
        let mut state = self.lock();
        let attachment = state.members.get_mut(&outbox.peer).and_then(|member| member.attachment(outbox.epoch));
        let opened = attachment.map(|attachment| attachment.open = true).is_some();
        drop(state);
        self.changed.send_replace(());
        opened
    }

    /// The link has ended. True while the peer is a member.
    pub(crate) fn ended(&self, outbox: &Outbox, error: LinkError) -> bool {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&outbox.peer) else { return false };
        if let Some(attachment) = member.attachment(outbox.epoch) {
            let lived = attachment.since.elapsed();
            member.ended(error, lived, &self.limits);
        }
        drop(state);
        self.changed.send_replace(());
        true
    }

    pub(crate) fn is_member(&self, id: NodeId) -> bool {
        self.lock().members.contains_key(&id)
    }

    /// The members that take part in the bus.
    pub(crate) fn speaking(&self) -> Vec<NodeId> {
        self.lock().members.iter().filter(|(_, member)| member.speaks_bus).map(|(id, _)| *id).collect()
    }

    /// The members in a slot: an older and a newer one during a reload.
    pub(crate) fn in_slot(&self, slot: Slot) -> Vec<NodeId> {
        self.lock().members.iter().filter(|(_, member)| member.slot == Some(slot)).map(|(id, _)| *id).collect()
    }

    /// Whether the peer takes part in the bus, or `None` when it is no member.
    pub(crate) fn speaks_bus(&self, id: NodeId) -> Option<bool> {
        self.lock().members.get(&id).map(|member| member.speaks_bus)
    }

    pub(crate) fn slot_of(&self, id: NodeId) -> Option<Slot> {
        self.lock().members.get(&id)?.slot
    }

    pub(crate) fn statuses(&self) -> Vec<PeerStatus> {
        self.lock().members.iter().map(|(id, member)| member.status(*id)).collect()
    }

    /// The open links.
    pub(crate) fn links(&self) -> Vec<Arc<Outbox>> {
        self.lock().members.values().filter_map(Member::open).cloned().collect()
    }

    /// Asks for links to all members that have none.
    pub(crate) fn want_all(self: &Arc<Self>) {
        self.speaking().into_iter().for_each(|id| self.want(id));
    }

    /// Asks for a link to this member if it has none.
    pub(crate) fn want(self: &Arc<Self>, id: NodeId) {
        let mut state = self.lock();
        let Some(member) = state.members.get_mut(&id) else { return };
        if member.speaks_bus && matches!(member.link, Link::Unused) {
            let pause = member.pause(&self.limits);
            member.link = Link::Wanted(self.runtime.spawn(self.clone().keep_asking(id, pause)).abort_handle());
        }
    }

    /// Asks once more after each timeout: the answer may be lost with a master that is replaced.
    async fn keep_asking(self: Arc<Self>, id: NodeId, mut pause: Duration) {
        loop {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            if !self.ask(id) {
                return;
            }
            pause = self.limits.link_timeout;
        }
    }

    fn ask(&self, peer: NodeId) -> bool {
        let mut state = self.lock();
        let Some(member) = state.members.get(&peer) else { return false };
        if !matches!(member.link, Link::Wanted(_)) {
            return false;
        }
        let wanted = LinkWanted { peer, broken_epoch: member.epoch };
        if !state.wanted.contains(&wanted) {
            state.wanted.push_back(wanted);
        }
        drop(state);
        self.wanted.notify_one();
        true
    }

    pub(super) async fn next_wanted(&self) -> LinkWanted {
        loop {
            if let Some(wanted) = self.lock().wanted.pop_front() {
                return wanted;
            }
            self.wanted.notified().await;
        }
    }
}
