//! The list of connections that other processes may take, and what is known of the process that has them.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use multi_node_sys::epoll::readable;
use multi_node_sys::runtime::has_one_thread;
use slab::Slab;
use tokio::sync::{Notify, SetOnce};

use super::lent::{ClaimedConn, LentConn};
use super::watch::RuntimeWatch;
use crate::load::Line;

/// At how many connections a claim looks, beginning behind those that the last one has looked at.
const LOOKED_AT: usize = 1024;

/// The connections of this process that others may take while it computes.
#[derive(Debug)]
pub struct BusyHandoff {
    list: Mutex<List>,
    pub(super) line: Line,
    /// Set with the first connection.
    used: SetOnce<()>,
    pub(super) taken: AtomicU64,
    /// Somebody waits for the next request.
    awaited: AtomicBool,
    begun: Notify,
}

#[derive(Debug, Default)]
struct List {
    conns: Slab<Arc<LentConn>>,
    /// Where the next look begins.
    next: usize,
}

impl BusyHandoff {
    /// For a process of this line, and the runtime that this is called in. `None` where that has several threads, which help each other.
    pub fn of_runtime(line: Line) -> Option<Arc<BusyHandoff>> {
        let (used, taken) = (SetOnce::new(), AtomicU64::new(0));
        let (awaited, begun) = (AtomicBool::new(false), Notify::new());
        let handoff = || Arc::new(BusyHandoff { list: Mutex::default(), line, used, taken, awaited, begun });
        has_one_thread().then(handoff)
    }

    /// Waits until there is a connection that could be taken. Cancel-safe.
    pub async fn used(&self) {
        self.used.wait().await;
    }

    /// Waits until a request begins. Cancel-safe.
    pub async fn request_begins(&self) {
        self.awaited.store(true, Relaxed);
        self.begun.notified().await;
    }

    /// A request begins.
    #[inline]
    pub(crate) fn begin_request(&self) {
        if self.awaited.load(Relaxed) {
            self.awaited.store(false, Relaxed);
            self.begun.notify_one();
        }
    }

    /// Looks at the runtime that this is called in; `None` where its epoll instance cannot be found.
    pub fn watch_runtime(self: &Arc<Self>) -> Option<RuntimeWatch> {
        RuntimeWatch::of_runtime(self.clone())
    }

    /// Whether the runtime was late when it was last looked at.
    pub fn is_late(&self) -> bool {
        self.line.is_busy()
    }

    /// How many connections other processes have taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// Claims up to `most` connections on which a request waits.
    pub fn claim(self: &Arc<Self>, most: usize) -> Vec<ClaimedConn> {
        let mut list = self.lock();
        let conns = list.look();
        let waiting = readable(conns.iter().map(|conn| conn.socket));
        let waiting = conns.iter().zip(waiting).filter(|(_, waits)| *waits);
        waiting.filter_map(|(conn, _)| ClaimedConn::of(self, conn)).take(most).collect()
    }

    pub(super) fn set_late(&self, late: bool) {
        if self.is_late() != late {
            self.line.set_busy(late);
        }
    }

    pub(super) fn insert(&self, conn: Arc<LentConn>) -> usize {
        // An error means that it is used already.
        let _ = self.used.set(());
        self.lock().conns.insert(conn)
    }

    pub(super) fn remove(&self, key: usize) {
        self.lock().conns.try_remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // Nothing is left half changed.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Some that rest, the next ones each time.
    fn look(&mut self) -> Vec<Arc<LentConn>> {
        let from = self.next;
        let behind = self.conns.iter().skip_while(|(key, _)| *key < from);
        let all = behind.chain(self.conns.iter().take_while(|(key, _)| *key < from));
        let resting = all.filter(|(_, conn)| conn.claim.rests()).take(LOOKED_AT);
        let (keys, conns): (Vec<usize>, Vec<_>) = resting.map(|(key, conn)| (key, conn.clone())).unzip();
        self.next = if conns.len() == LOOKED_AT { keys.last().map_or(0, |last| last + 1) } else { 0 };
        conns
    }
}
