//! Who answers the requests of each slot, and how a connection gets there before its next request.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::affinity::{Affinity, Key, hash, slot_of};
use super::conn_info::ConnInfo;
use super::idle_conn::{HandoffSender, IdleConn};
use super::stream::Stream;
#[cfg(multi_process)]
use super::stream::{Open, UnregisteredStream};

/// How many bytes the moves to one process that are under way may have. They fit into the buffer of a Unix socket (`net.core.wmem_default`) beside
/// the answers to as many moves that come from there, so two processes never wait for each other.
const MOST_BYTES: usize = 48 * 1024;

/// As how many bytes a move counts beside those that were read of the connection.
const A_MOVE: usize = 1024;

/// By which key requests are recognized, and who answers those of each slot. Clones are the same; each knows its server.
#[derive(Clone, Debug)]
pub struct Owners {
    server: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    affinity: Affinity,
    slots: RwLock<Vec<Owner>>,
    moved: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
}

/// Who answers the requests of one slot.
#[derive(Clone, Debug)]
pub enum Owner {
    /// This process.
    This,
    /// Another process; this is the way there.
    Other(Mover),
    /// No process at present, so each answers what reaches it.
    Missing,
}

/// The way of connections to one other process; clones are the same.
#[derive(Clone, Debug)]
pub struct Mover {
    conns: mpsc::Sender<IdleConn>,
    room: Arc<Semaphore>,
}

/// What became of requests that another process owned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoveCounts {
    /// Their connection went to the owner.
    pub moved: u64,
    /// The owner did not take the connection: it drains, has as many as it allows, or has ended.
    pub refused: u64,
    /// Too many moves to the owner were under way.
    pub full: u64,
}

/// Who answers a request.
pub(super) enum Whose {
    Ours,
    Of(Mover),
    /// More of its head has to be read.
    Unknown,
}

impl Owners {
    /// By this rule. Until [`set`](Owners::set) is called, each process answers what reaches it.
    pub fn new(affinity: Affinity) -> Owners {
        let (slots, count) = (RwLock::default(), AtomicU64::default);
        Owners {
            server: 0,
            shared: Arc::new(Shared { affinity, slots, moved: count(), refused: count(), full: count() }),
        }
    }

    /// The same for connections of this server.
    pub(super) fn of_server(&self, server: usize) -> Owners {
        Owners { server, shared: self.shared.clone() }
    }

    /// Sets the owner of each slot.
    pub fn set(&self, slots: Vec<Owner>) {
        // Nothing is left half changed.
        *self.shared.slots.write().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    /// What became of requests so far.
    pub fn counts(&self) -> MoveCounts {
        let Shared { moved, refused, full, .. } = &*self.shared;
        MoveCounts { moved: moved.load(Relaxed), refused: refused.load(Relaxed), full: full.load(Relaxed) }
    }

    /// Whether requests have owners by the addresses of clients.
    pub(super) fn are_by_address(&self) -> bool {
        self.shared.affinity.is_by_address()
    }

    /// Whether this process answers requests with this value; `None`: it owns no slot at present.
    pub fn own(&self, value: &[u8]) -> Option<bool> {
        let slots = self.shared.slots.read().unwrap_or_else(PoisonError::into_inner);
        let is_own = |slot: usize| matches!(slots.get(slot), Some(Owner::This));
        (0..slots.len()).any(is_own).then(|| slot_of(hash(value), slots.len()).is_some_and(is_own))
    }

    /// Who answers the request that begins with these bytes.
    pub(super) fn whose(&self, head: &[u8], info: &ConnInfo) -> Whose {
        let key = match self.shared.affinity.key(head, info) {
            Key::Is(key) => key,
            Key::None => return Whose::Ours,
            Key::Unknown => return Whose::Unknown,
        };
        let slots = self.shared.slots.read().unwrap_or_else(PoisonError::into_inner);
        match slot_of(key, slots.len()).and_then(|slot| slots.get(slot)) {
            Some(Owner::Other(mover)) => Whose::Of(mover.clone()),
            Some(Owner::This | Owner::Missing) | None => Whose::Ours,
        }
    }

    /// Lets the owner of the request that `before` begins with have its connection. It comes back if the owner does not take it.
    pub(super) async fn give(&self, stream: Stream, before: Bytes, info: ConnInfo) -> Option<(Stream, Bytes)> {
        let Whose::Of(mover) = self.whose(&before, &info) else { return Some((stream, before)) };
        let Some((sender, _room)) = self.way(mover, before.len()) else { return Some((stream, before)) };
        let returned = sender.give_for_request(stream, before, info).await;
        self.count(returned.is_none());
        returned
    }

    /// As [`give`](Self::give), for a connection of which nothing was read, and which goes to this process.
    #[cfg(multi_process)]
    pub(super) async fn give_unread(
        &self,
        mover: Mover,
        socket: UnregisteredStream,
        open: Open,
        info: ConnInfo,
    ) -> Option<(UnregisteredStream, Open)> {
        let Some((sender, _room)) = self.way(mover, 0) else { return Some((socket, open)) };
        let returned = sender.give_unread_for_request(socket, open, info).await;
        self.count(returned.is_none());
        returned
    }

    /// The way to a process, with room for this number of bytes that were read.
    fn way(&self, mover: Mover, bytes: usize) -> Option<(HandoffSender, OwnedSemaphorePermit)> {
        let Some(room) = mover.room_for(bytes) else {
            self.count_full();
            return None;
        };
        Some((HandoffSender { server: self.server, idle_conns: mover.conns, busy_handoff: None }, room))
    }

    /// A request is answered here, although another process may own it, since too many are under way.
    pub(super) fn count_full(&self) {
        self.shared.full.fetch_add(1, Relaxed);
    }

    fn count(&self, moved: bool) {
        let count = if moved { &self.shared.moved } else { &self.shared.refused };
        count.fetch_add(1, Relaxed);
    }
}

impl Mover {
    /// A way, and what comes out at its end.
    pub fn new() -> (Mover, mpsc::Receiver<IdleConn>) {
        let (conns, end) = mpsc::channel(MOST_BYTES / A_MOVE);
        (Mover { conns, room: Arc::new(Semaphore::new(MOST_BYTES)) }, end)
    }

    /// Room for one more move, until this is dropped.
    fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.saturating_add(A_MOVE)).ok()?;
        self.room.clone().try_acquire_many_owned(bytes).ok()
    }
}
