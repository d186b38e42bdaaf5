//! One topic of this process, behind one lock.
//!
//! Publishing and receiving share the lock, so that the order in queues, outboxes and history is the order of sequence numbers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use multi_node_fleet::id::NodeId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Settled;
use super::history::Ring;
use super::queue::Queue;
use super::remote::Relayed;
use super::sequences::Sequences;
use super::snapshot::Question;
use crate::counts::Counts;
use crate::link::Outbox;

/// A topic: who subscribes here, which peers do, and at which peers this process has.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    /// Its number in this process.
    pub(crate) channel: u32,
    pub(super) me: NodeId,
    pub(super) counts: Arc<Counts>,
    state: Mutex<State>,
    /// Notified after changes while `watchers` is not 0.
    progress: Notify,
    watchers: AtomicUsize,
    /// Changes with the peers that have subscribed.
    pub(super) subscribers_changed: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct State {
    /// Handles and subscriptions of this process.
    pub(super) users: usize,
    /// The number of the next message that this process publishes.
    pub(super) next: u64,
    /// The subscriptions of this process.
    pub(super) readers: Vec<Arc<Queue>>,
    /// The peers that have subscribed.
    pub(super) subscribers: Vec<Subscriber>,
    /// The peers at which this process subscribes. Empty without interest.
    pub(super) sources: HashMap<NodeId, Source>,
    /// The publishers of other machines.
    pub(super) remotes: Sequences,
    /// In a gateway: what it has passed on.
    pub(super) relayed: Relayed,
    pub(super) phase: Phase,
    /// Counts the starts, so that a late end of an earlier one is noticed.
    pub(super) round: u64,
    /// This process's own first message since the start of the round.
    pub(super) own_start: u64,
    pub(super) history: Option<Ring>,
    pub(super) question: Option<Question>,
    /// When this process last sent a message to peers.
    pub(super) last_sent: Option<Instant>,
    /// Where messages are encoded, once for all peers.
    pub(super) scratch: Vec<u8>,
}

/// A peer that gets this process's messages.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) peer: NodeId,
    /// None while its link is broken: it learns what it missed when it subscribes again.
    pub(super) link: Option<Arc<Outbox>>,
}

/// A peer whose messages this process gets.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The link over which it was asked, and the number of that question.
    pub(super) asked: Option<(Arc<Outbox>, u64)>,
    pub(super) answer: SourceAnswer,
    /// The number of its next message.
    pub(super) next: Option<u64>,
    /// The first message that the publisher sends over the link. What is older comes from the history.
    pub(super) start: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SourceAnswer {
    #[default]
    Awaited,
    Confirmed,
    Refused,
}

/// How far the subscription at the peers is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody here is interested.
    Idle,
    /// Peers have yet to confirm, or the history has yet to come.
    Starting,
    Settled(Settled),
}

impl Topic {
    pub(super) fn new(name: Arc<str>, channel: u32, me: NodeId, counts: Arc<Counts>) -> Topic {
        let state = Mutex::new(State::new());
        let (progress, watchers) = (Notify::new(), AtomicUsize::new(0));
        Topic { name, channel, me, counts, state, progress, watchers, subscribers_changed: watch::Sender::new(()) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called with the lock held, so that a watcher that looked before is counted here.
    pub(super) fn tell_watchers(&self, _locked: &State) {
        if self.watchers.load(Ordering::Relaxed) > 0 {
            self.progress.notify_waiters();
        }
    }

    /// Waits until `look` finds something.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let _watcher = Watcher::new(&self.watchers);
        loop {
            let mut notified = std::pin::pin!(self.progress.notified());
            notified.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            notified.await;
        }
    }
}

impl State {
    fn new() -> State {
        State {
            users: 0,
            next: 1,
            readers: Vec::new(),
            subscribers: Vec::new(),
            sources: HashMap::new(),
            remotes: Sequences::default(),
            relayed: Relayed::default(),
            phase: Phase::Idle,
            round: 0,
            own_start: 1,
            history: None,
            question: None,
            last_sent: None,
            scratch: Vec::new(),
        }
    }

    /// Nobody here or elsewhere would miss it.
    pub(super) fn is_unused(&self) -> bool {
        self.users == 0 && self.subscribers.is_empty()
    }
}

struct Watcher<'a>(&'a AtomicUsize);

impl Watcher<'_> {
    fn new(watchers: &AtomicUsize) -> Watcher<'_> {
        watchers.fetch_add(1, Ordering::Relaxed);
        Watcher(watchers)
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
