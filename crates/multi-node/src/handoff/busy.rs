//! The busy side: while the runtime of this process computes, connections on which requests wait are offered to other processes.
//!
//! A thread does that, which also answers the offers of others: so an offer is answered at once, whatever the runtime does. It is started
//! by the first connection that could be taken, or the first hand-off stream, and sleeps while the runtime has nothing to do.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use multi_node_fleet::status::{State, Status};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::link::Link;
use crate::id::NodeId;
use crate::serve::{BusyHandoff, ClaimedConn, LoadTable, RuntimeWatch, Seen};

/// How often the runtime is looked at while events wait for it, and after it was late.
const TICK: Duration = Duration::from_millis(1);

/// How often it is looked at otherwise while it has something to do.
const SELDOM: Duration = Duration::from_millis(25);

/// How often at least it is looked at while it has no requests.
const IDLE: Duration = Duration::from_secs(2);

/// How long it is looked at often after it was late.
const ALERT: Duration = Duration::from_secs(1);

/// To how many processes connections are offered at a time: to those with the fewest requests.
const PEERS: usize = 4;

/// How many connections one process is offered at a time. It gets no more before it has answered, so one that stands still holds no more.
const OFFERS: usize = 16;

/// Offers have numbers from here on; those of a drain, on the same stream, have lower ones.
const NUMBERS: u64 = 1 << 63;

/// Connections of this process that others take while it computes; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Busy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    me: NodeId,
    handoff: Arc<BusyHandoff>,
    load: LoadTable,
    peers: Mutex<Peers>,
    /// The runtime of the thread, once it was to start; `None` where it could not.
    thread: OnceLock<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    runtime: Handle,
    /// The thread ends when this is dropped.
    _end: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Peers {
    joined: BTreeMap<NodeId, Peer>,
    /// Of those that serve: the line of the load table. It may be known before the process is joined.
    lines: BTreeMap<NodeId, usize>,
}

#[derive(Clone, Debug)]
struct Peer {
    link: Link,
    /// Each offer that it has not answered has a clone.
    offers: Arc<()>,
}

impl Busy {
    /// Call this in the runtime of the connections.
    pub(crate) fn new(me: NodeId, handoff: Arc<BusyHandoff>, load: LoadTable) -> Busy {
        let busy = Busy(Arc::new(Shared { me, handoff, load, peers: Mutex::default(), thread: OnceLock::new() }));
        let weak = Arc::downgrade(&busy.0);
        let handoff = busy.0.handoff.clone();
        tokio::spawn(async move {
            handoff.used().await;
            if let Some(shared) = weak.upgrade() {
                drop(Busy(shared.clone()).runtime());
                shared.want_streams();
            }
        });
        busy
    }

    /// The runtime of the thread, which is started by the first call. Call this in the runtime of the connections.
    pub(super) fn runtime(&self) -> Option<Handle> {
        let thread = self.0.thread.get_or_init(|| match self.start() {
            Ok(thread) => thread,
            Err(error) => {
                crate::log::warn!(%error, "other nodes cannot take connections of this one while it computes");
                None
            }
        });
        thread.as_ref().map(|thread| thread.runtime.clone())
    }

    /// `None`: the runtime cannot be looked at.
    fn start(&self) -> io::Result<Option<Thread>> {
        let Some(watch) = self.0.handoff.watch_runtime() else { return Ok(None) };
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (handle, (end, ended)) = (runtime.handle().clone(), watch::channel(()));
        let gives = give_all(Arc::downgrade(&self.0), self.0.handoff.clone(), watch, ended);
        thread::Builder::new().name("hand-off".into()).stack_size(128 * 1024).spawn(move || runtime.block_on(gives))?;
        Ok(Some(Thread { runtime: handle, _end: end }))
    }

    /// What others see of the runtime.
    pub(super) fn handoff(&self) -> &Arc<BusyHandoff> {
        &self.0.handoff
    }

    /// A process is joined.
    pub(super) fn name(&self, id: NodeId, link: Link) {
        self.0.peers().joined.insert(id, Peer { link, offers: Arc::default() });
        self.0.want_streams();
    }

    /// A process has ended.
    pub(super) fn part(&self, id: NodeId) {
        self.0.peers().joined.remove(&id);
    }

    /// Which processes serve, and where each counts.
    pub(super) fn see(&self, status: &Status, lines: &[Option<usize>]) {
        let serving = status.slots.iter().zip(lines).filter(|(slot, _)| slot.state == State::Serving);
        self.0.peers().lines = serving.filter_map(|(slot, line)| Some((slot.id?, (*line)?))).collect();
        self.0.want_streams();
    }
}

impl Shared {
    /// A process that computes cannot ask for streams, so those to a few others are asked for beforehand. Of two the newer one asks.
    fn want_streams(&self) {
        if self.thread.get().is_some_and(Option::is_some) {
            let Peers { joined, lines } = &*self.peers();
            let serving = joined.range(..self.me).rev().filter(|(id, _)| lines.contains_key(id));
            serving.take(PEERS).for_each(|(_, peer)| peer.link.want());
        }
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        // Nothing is left half changed.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers connections on which requests wait to processes that are free. Each process gets as many.
    fn offer(&self, number: &mut u64) {
        let free = self.free();
        let conns = if free.is_empty() { Vec::new() } else { self.handoff.claim(free.len() * OFFERS) };
        for (conn, peer) in conns.into_iter().zip(free.iter().cycle()) {
            *number += 1;
            tokio::spawn(give(peer.clone(), *number, conn));
        }
    }

    /// The processes that compute nothing at present and have answered all offers, those with the fewest requests.
    fn free(&self) -> Vec<Peer> {
        let Peers { joined, lines } = &*self.peers();
        let takes = |peer: &Peer| Arc::strong_count(&peer.offers) == 1 && peer.link.takes_when_busy();
        let in_flight = |id: &NodeId| self.load.in_flight_if_free(*lines.get(id)?);
        let free = joined.iter().filter(|(_, peer)| takes(peer));
        let free = free.filter_map(|(id, peer)| Some((in_flight(id)?, peer.clone())));
        let mut free: Vec<(u64, Peer)> = free.collect();
        free.sort_by_key(|(in_flight, _)| *in_flight);
        free.into_iter().take(PEERS).map(|(_, peer)| peer).collect()
    }
}

/// Looks at the runtime until the other side of `ended` is gone.
async fn give_all(
    shared: Weak<Shared>,
    handoff: Arc<BusyHandoff>,
    mut watch: RuntimeWatch,
    mut ended: watch::Receiver<()>,
) {
    let looks = async {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut alert, mut number, mut quiet) = (Instant::now(), NUMBERS, SELDOM);
        loop {
            let (seen, alerted) = (watch.look(), Instant::now() < alert);
            if seen != Seen::Idle {
                quiet = if alerted { TICK } else { SELDOM };
            }
            match seen {
                Seen::Late => {
                    let Some(shared) = shared.upgrade() else { return };
                    alert = Instant::now() + ALERT;
                    shared.offer(&mut number);
                }
                Seen::Idle => {
                    // It may compute while nothing waits yet, so it is looked at again when it has been quiet for as long once more.
                    let _ = timeout(quiet, handoff.request_begins()).await;
                    quiet = IDLE.min(quiet * 2);
                    continue;
                }
                Seen::Runs if !alerted => {
                    sleep(SELDOM).await;
                    ticks.reset_immediately();
                }
                Seen::Runs | Seen::Waits => {}
            }
            ticks.tick().await;
        }
    };
    tokio::select! {
        () = looks => {}
        _ = ended.changed() => {}
    }
}

/// Offers a connection; where the process does not take it, its next request is answered here.
async fn give(peer: Peer, number: u64, conn: ClaimedConn) {
    match peer.link.offer_when_busy(number, conn.idle_conn()).await {
        Ok(()) => conn.given(),
        Err(error) => crate::log::debug!(%error, "a process did not take a connection of this one, which computes"),
    }
}
