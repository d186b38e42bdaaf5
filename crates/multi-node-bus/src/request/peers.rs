//! The peers that can be asked, with their handlers, and which of them is asked.

use std::collections::HashSet;
use std::sync::Arc;

use multi_node_fleet::id::NodeId;

use super::table::{Answered, Requests, State};
use crate::frame::{FrameError, Head, Kind};
use crate::link::Outbox;

/// A peer with an open link.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) link: Arc<Outbox>,
    /// It has named all its handlers.
    pub(super) synced: bool,
    pub(super) draining: bool,
    handlers: HashSet<Box<str>>,
    /// This process's requests to it.
    pub(super) in_flight: usize,
}

/// Which process is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Here,
    Peer(NodeId),
    /// No process has the handler and takes new requests.
    Nobody,
}

impl Peer {
    pub(super) fn has(&self, handler: &str) -> bool {
        self.handlers.contains(handler)
    }

    pub(super) fn handlers(&self) -> impl Iterator<Item = &str> {
        self.handlers.iter().map(|name| &**name)
    }

    fn takes(&self, handler: &str) -> bool {
        !self.draining && self.has(handler)
    }
}

impl State {
    /// The process with the handler that has the fewest requests of ours in flight. Equals take turns.
    pub(super) fn choose(&mut self, me: NodeId, name: &str) -> Choice {
        let here = !self.draining && self.handlers.contains_key(name);
        let own = here.then_some((me, self.own_in_flight));
        let peers = self.peers.iter().filter(|(_, peer)| peer.takes(name)).map(|(id, peer)| (*id, peer.in_flight));
        let candidates = || own.into_iter().chain(peers.clone());
        let Some(fewest) = candidates().map(|(_, in_flight)| in_flight).min() else { return Choice::Nobody };
        let equals = || candidates().filter(|(_, in_flight)| *in_flight == fewest).map(|(id, _)| id);
        let turn = self.rotation % equals().count();
        let chosen = equals().nth(turn).unwrap_or(me);
        self.rotation = self.rotation.wrapping_add(1);
        if chosen == me { Choice::Here } else { Choice::Peer(chosen) }
    }
}

impl Requests {
    /// A link is open: names this process's handlers to the peer.
    pub(crate) fn opened(&self, link: &Arc<Outbox>) {
        let mut state = self.lock();
        let (handlers, link_of_peer) = (HashSet::new(), link.clone());
        let peer = Peer { link: link_of_peer, synced: false, draining: false, handlers, in_flight: 0 };
        state.peers.insert(link.peer, peer);
        for name in state.handlers.keys() {
            link.control(Head::new(Kind::Handler), &[name.as_bytes()]);
        }
        if state.draining {
            link.control(Head::new(Kind::Draining), &[]);
        }
    }

    /// The peer has named all its handlers.
    pub(crate) fn synced(&self, link: &Outbox) {
        self.change(link, |peer| peer.synced = true);
    }

    pub(crate) fn peer_drains(&self, link: &Outbox) {
        self.change(link, |peer| peer.draining = true);
    }

    pub(crate) fn peer_has(&self, link: &Outbox, name: &str) -> Result<(), FrameError> {
        let most = self.limits.handlers;
        let mut fits = true;
        self.change(link, |peer| {
            peer.handlers.insert(name.into());
            fits = peer.handlers.len() <= most;
        });
        if fits { Ok(()) } else { Err(FrameError::TooMany { what: "handlers", most }) }
    }

    pub(crate) fn peer_lacks(&self, link: &Outbox, name: &str) {
        self.change(link, |peer| {
            peer.handlers.remove(name);
        });
    }

    fn change(&self, link: &Outbox, change: impl FnOnce(&mut Peer)) {
        let mut state = self.lock();
        if let Some(peer) = state.peers.get_mut(&link.peer).filter(|peer| peer.link.epoch == link.epoch) {
            change(peer);
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// The link has ended: what was sent over it has no answer, and what came over it has no asker.
    pub(crate) fn link_ended(&self, link: &Outbox) {
        let mut state = self.lock();
        if state.peers.get(&link.peer).is_some_and(|peer| peer.link.epoch <= link.epoch) {
            state.peers.remove(&link.peer);
        }
        let waiting = state.take_waiting(link.peer, link.epoch);
        let running = state.take_running(link.peer, link.epoch);
        drop(state);
        self.counts.requests_cancelled.add(running.len() as u64);
        running.iter().for_each(tokio::task::AbortHandle::abort);
        for waiting in waiting {
            // The asker may have gone meanwhile.
            let _ = waiting.answer.send(Answered::Gone);
        }
        self.changed.send_replace(());
    }
}
