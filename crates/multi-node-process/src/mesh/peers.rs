//! All peers of this process, and the streams that the program has not taken yet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot, watch};

use super::peer::{Peer, PeerInfo, Transport};
use crate::id::NodeId;

/// The processes that this one is joined with, by id.
pub type Joined = Arc<BTreeMap<NodeId, PeerInfo>>;

/// The side of the process's loop, which owns the streams until the program takes them.
#[derive(Debug)]
pub struct Peers {
    joined: watch::Sender<Joined>,
    /// Whether each drains, for the program's `Peer`s.
    draining: BTreeMap<NodeId, watch::Sender<bool>>,
    waiting: VecDeque<Peer>,
    /// Hears when the program first asks for a peer; `None` from then on.
    asked: Option<oneshot::Receiver<()>>,
    /// The nodes to which the program wants a new stream.
    rejoins: mpsc::Receiver<NodeId>,
    arrivals: Option<mpsc::Sender<Peer>>,
}

/// The side of the program: peers as they come.
#[derive(Debug)]
pub struct Arrivals {
    joined: watch::Receiver<Joined>,
    /// `None` once the program has asked for a peer.
    ask: Option<oneshot::Sender<()>>,
    arrivals: mpsc::Receiver<Peer>,
}

/// What the program wants of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It has dropped its side: this process has to leave. Sent once.
    Leave,
    /// Streams to all others. Sent once.
    Peers,
    /// A new stream to this process.
    Rejoin(NodeId),
}

/// Asks for a new stream to a process.
pub type Rejoin = mpsc::Sender<NodeId>;

/// How many requests for new streams may wait.
const REJOINS: usize = 64;

/// Both sides. One peer at a time passes between them, so that a peer that dies before the program takes it can be dropped.
pub fn arrivals() -> (Peers, Arrivals, Rejoin) {
    let (joined_sender, joined) = watch::channel(Joined::default());
    let (sender, receiver) = mpsc::channel(1);
    let (ask, asked) = oneshot::channel();
    let (rejoin, rejoins) = mpsc::channel(REJOINS);
    let peers = Peers {
        joined: joined_sender,
        draining: BTreeMap::new(),
        waiting: VecDeque::new(),
        asked: Some(asked),
        rejoins,
        arrivals: Some(sender),
    };
    (peers, Arrivals { joined, ask: Some(ask), arrivals: receiver }, rejoin)
}

impl Peers {
    /// The processes that this one is joined with, as they change.
    pub fn watch(&self) -> watch::Receiver<Joined> {
        self.joined.subscribe()
    }

    /// A process is joined. There may be a stream to it later. What is known of one that was joined before stays as it is.
    pub fn name(&mut self, info: PeerInfo) {
        self.joined.send_if_modified(|joined| {
            let is_new = !joined.contains_key(&info.id());
            if is_new {
                Arc::make_mut(joined).insert(info.id(), info);
            }
            is_new
        });
    }

    /// There is a stream to a process, which is joined by that too.
    pub fn join(&mut self, info: PeerInfo, stream: Transport) {
        self.joined.send_modify(|joined| {
            Arc::make_mut(joined).insert(info.id(), info);
        });
        if self.arrivals.is_some() {
            let draining =
                self.draining.entry(info.id()).or_insert_with(|| watch::Sender::new(info.draining)).subscribe();
            self.waiting.push_back(Peer::new(info, stream, draining));
        }
    }

    /// A process drains.
    pub fn drains(&mut self, id: NodeId) {
        self.joined.send_modify(|joined| {
            if let Some(info) = Arc::make_mut(joined).get_mut(&id) {
                info.draining = true;
            }
        });
        if let Some(draining) = self.draining.get(&id) {
            draining.send_replace(true);
        }
    }

    /// A process has ended.
    pub fn part(&mut self, id: NodeId) {
        self.joined.send_modify(|joined| {
            Arc::make_mut(joined).remove(&id);
        });
        self.draining.remove(&id);
        self.waiting.retain(|peer| peer.id() != id);
    }

    /// Whether there may be another.
    pub fn is_open(&self) -> bool {
        self.arrivals.is_some()
    }

    /// The program gets no more peers: this process's service is over.
    pub fn close(&mut self) {
        self.waiting.clear();
        self.arrivals = None;
    }

    /// Passes peers to the program as it asks for them, until the program wants something. Cancel-safe.
    pub async fn wish(&mut self) -> Wish {
        let Peers { asked, rejoins, waiting, arrivals, .. } = self;
        tokio::select! {
            () = first_asked(asked) => Wish::Peers,
            Some(id) = rejoins.recv() => Wish::Rejoin(id),
            () = deliver(waiting, arrivals.as_ref()) => {
                self.close();
                Wish::Leave
            }
        }
    }
}

/// Returns when the program first asks for a peer, and never again.
async fn first_asked(asked: &mut Option<oneshot::Receiver<()>>) {
    if let Some(asking) = asked {
        let has_asked = asking.await.is_ok();
        *asked = None;
        if has_asked {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Returns when the program has dropped its side.
async fn deliver(waiting: &mut VecDeque<Peer>, arrivals: Option<&mpsc::Sender<Peer>>) {
    let Some(arrivals) = arrivals else { return std::future::pending().await };
    loop {
        if waiting.is_empty() {
            return arrivals.closed().await;
        }
        let Ok(permit) = arrivals.reserve().await else { return };
        if let Some(peer) = waiting.pop_front() {
            permit.send(peer);
        }
    }
}

impl Arrivals {
    /// The next peer that is alive; `None` once this process's service is over.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Peer>> {
        if let Some(ask) = self.ask.take() {
            // An error means that this process's service is over.
            let _ = ask.send(());
        }
        loop {
            match std::task::ready!(self.arrivals.poll_recv(cx)) {
                Some(peer) if !self.joined.borrow().contains_key(&peer.id()) => {}
                other => return Poll::Ready(other),
            }
        }
    }
}

#[cfg(all(test, multi_process))]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn peer(number: u64) -> (PeerInfo, Transport) {
        let (stream, _) = Transport::pair().expect("socketpair");
        (PeerInfo::new(NodeId::node(number), None, 1), stream)
    }

    async fn next(arrivals: &mut Arrivals) -> Option<NodeId> {
        poll_fn(|cx| arrivals.poll_next(cx)).await.map(|peer| peer.id())
    }

    #[tokio::test]
    async fn late_callers_get_the_living() {
        let (mut peers, mut arrivals, _rejoin) = arrivals();
        for number in 1..=3 {
            let (info, stream) = peer(number);
            peers.join(info, stream);
        }
        tokio::select! {
            biased;
            _ = peers.wish() => unreachable!("the program holds its side"),
            () = std::future::ready(()) => {}
        }
        // The first is on its way already, the second still waits here.
        peers.part(NodeId::node(1));
        peers.part(NodeId::node(2));
        let mut wishes = Vec::new();
        let got = loop {
            tokio::select! {
                id = next(&mut arrivals) => break id,
                wish = peers.wish() => wishes.push(wish),
            }
        };
        assert_eq!(wishes, [Wish::Peers], "once, by the first call");
        assert_eq!(got, Some(NodeId::node(3)));
        peers.close();
        assert_eq!(next(&mut arrivals).await, None);
    }

    #[tokio::test]
    async fn a_process_that_is_named_again_keeps_its_epoch() {
        let (mut peers, _arrivals, _rejoin) = arrivals();
        let (info, stream) = peer(1);
        peers.name(info);
        peers.join(info.with_epoch(2), stream);
        peers.name(info);
        assert_eq!(peers.watch().borrow()[&info.id()].epoch(), 2);
    }

    #[tokio::test]
    async fn a_dropped_side_is_noticed() {
        let (mut peers, arrivals, _rejoin) = arrivals();
        drop(arrivals);
        assert_eq!(peers.wish().await, Wish::Leave);
    }
}
