//! All peers of this process: who is joined now, and the streams that the program has not asked for yet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, watch};

use super::peer::{Peer, PeerInfo, Transport};
use crate::id::NodeId;

/// Who is joined, by id.
pub(crate) type Joined = Arc<BTreeMap<NodeId, PeerInfo>>;

/// The side of the process's loop, which owns the streams until the program takes them.
#[derive(Debug)]
pub(crate) struct Peers {
    joined: watch::Sender<Joined>,
    waiting: VecDeque<Peer>,
    arrivals: Option<mpsc::Sender<Peer>>,
}

/// The side of the program: peers as they come.
#[derive(Debug)]
pub(crate) struct Arrivals {
    joined: watch::Receiver<Joined>,
    arrivals: mpsc::Receiver<Peer>,
}

/// Both sides. One peer at a time passes between them, so that whoever dies before it is asked for can be dropped.
pub(crate) fn arrivals() -> (Peers, Arrivals) {
    let (joined_sender, joined) = watch::channel(Joined::default());
    let (sender, receiver) = mpsc::channel(1);
    let peers = Peers { joined: joined_sender, waiting: VecDeque::new(), arrivals: Some(sender) };
    (peers, Arrivals { joined, arrivals: receiver })
}

impl Peers {
    pub(crate) fn watch(&self) -> watch::Receiver<Joined> {
        self.joined.subscribe()
    }

    /// A process is joined.
    pub(crate) fn join(&mut self, info: PeerInfo, stream: Transport) {
        self.joined.send_modify(|joined| {
            Arc::make_mut(joined).insert(info.id, info);
        });
        if self.arrivals.is_some() {
            self.waiting.push_back(Peer::new(info, stream));
        }
    }

    /// A process has ended.
    pub(crate) fn part(&mut self, id: NodeId) {
        self.joined.send_modify(|joined| {
            Arc::make_mut(joined).remove(&id);
        });
        self.waiting.retain(|peer| peer.id() != id);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.arrivals.is_some()
    }

    /// The program gets no more peers: this process drains.
    pub(crate) fn close(&mut self) {
        self.waiting.clear();
        self.arrivals = None;
    }

    /// Passes peers to the program as it asks for them. Returns, once, when the program has dropped its side.
    /// Cancel-safe.
    pub(crate) async fn deliver(&mut self) {
        loop {
            let Some(arrivals) = &self.arrivals else { return std::future::pending().await };
            if self.waiting.is_empty() {
                arrivals.closed().await;
            } else if let Ok(permit) = arrivals.reserve().await
                && let Some(peer) = self.waiting.pop_front()
            {
                permit.send(peer);
                continue;
            }
            self.close();
            return;
        }
    }
}

impl Arrivals {
    /// The next peer that is alive; `None` once this process drains.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Peer>> {
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
        (PeerInfo { id: NodeId::node(number), slot: None, pid: 1 }, stream)
    }

    async fn next(arrivals: &mut Arrivals) -> Option<NodeId> {
        poll_fn(|cx| arrivals.poll_next(cx)).await.map(|peer| peer.id())
    }

    #[tokio::test]
    async fn late_callers_get_the_living() {
        let (mut peers, mut arrivals) = arrivals();
        for number in 1..=3 {
            let (info, stream) = peer(number);
            peers.join(info, stream);
        }
        tokio::select! {
            biased;
            () = peers.deliver() => unreachable!("the program holds its side"),
            () = std::future::ready(()) => {}
        }
        // The first is on its way already, the second still waits here.
        peers.part(NodeId::node(1));
        peers.part(NodeId::node(2));
        let got = tokio::select! {
            id = next(&mut arrivals) => id,
            () = peers.deliver() => unreachable!("the program holds its side"),
        };
        assert_eq!(got, Some(NodeId::node(3)));
        peers.close();
        assert_eq!(next(&mut arrivals).await, None);
    }

    #[tokio::test]
    async fn a_dropped_side_is_noticed() {
        let (mut peers, arrivals) = arrivals();
        drop(arrivals);
        peers.deliver().await;
    }
}
