//! At which peers this process subscribes: at all, as long as somebody here wants the topic. And from when on it keeps a history.

use std::sync::Arc;

use multi_node_fleet::id::NodeId;

use super::history::Ring;
use super::sequences::Sequences;
use super::state::{Phase, Source, SourceAnswer, State, Topic};
use crate::frame::{Head, Kind};
use crate::link::Outbox;

impl Topic {
    /// Begins a round of subscribing, and gives its number, unless one has begun.
    pub(super) fn begin(&self, state: &mut State) -> Option<u64> {
        (state.phase == Phase::Idle).then(|| state.begin_round())
    }

    /// Keeps the last messages from here on, and begins a round in which the older ones are asked for.
    pub(super) fn begin_history(&self, state: &mut State, most: usize) -> Option<u64> {
        if let Some(ring) = &mut state.history {
            ring.most = ring.most.max(most);
            return None;
        }
        state.history = Some(Ring::new(most));
        state.own_start = state.next;
        for source in state.sources.values_mut() {
            source.start = source.next;
        }
        Some(state.begin_round())
    }

    /// Subscribes at the peer if somebody here is interested and this link has not been asked.
    pub(super) fn ask(&self, link: &Arc<Outbox>, question: u64) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            return;
        }
        let source = state.sources.entry(link.peer).or_default();
        if source.asked.as_ref().is_some_and(|(asked, _)| asked.epoch >= link.epoch) {
            return;
        }
        source.asked = Some((link.clone(), question));
        source.answer = SourceAnswer::Awaited;
        let head = Head::new(Kind::Subscribe).channel(self.channel).seq(question);
        link.control(head, &[self.name.as_bytes()]);
    }

    /// Names the peers whose confirmation the round awaits.
    pub(super) fn expect(&self, peers: &[NodeId], round: u64) {
        let mut state = self.lock();
        if state.round == round {
            for peer in peers {
                state.sources.entry(*peer).or_default();
            }
        }
    }

    /// The peers that have not answered.
    pub(super) fn unconfirmed(state: &State) -> Vec<NodeId> {
        let unconfirmed = state.sources.iter().filter(|(_, source)| source.answer != SourceAnswer::Confirmed);
        let mut peers: Vec<NodeId> = unconfirmed.map(|(peer, _)| *peer).collect();
        peers.sort_unstable();
        peers
    }

    /// Whether nobody here is interested any longer. Then it unsubscribes.
    pub(super) fn end_if_unwanted(&self, state: &mut State) -> bool {
        if state.users == 0 {
            state.history = None;
        }
        if state.phase == Phase::Idle || !state.readers.is_empty() || state.history.is_some() {
            return false;
        }
        for (_, source) in state.sources.drain() {
            if let Some((link, _)) = source.asked {
                link.control(Head::new(Kind::Unsubscribe).channel(self.channel), &[]);
            }
        }
        state.remotes = Sequences::default();
        state.phase = Phase::Idle;
        state.question = None;
        state.round += 1;
        self.tell_watchers(state);
        true
    }

    /// The link is broken. The peer is asked again over the next one.
    pub(super) fn source_lost(&self, link: &Outbox) {
        let mut state = self.lock();
        if let Some(source) = state.sources.get_mut(&link.peer)
            && source.asked.take_if(|(asked, _)| asked.epoch <= link.epoch).is_some()
        {
            source.answer = SourceAnswer::Awaited;
        }
        self.tell_watchers(&state);
    }

    /// The peer counts its messages anew.
    pub(super) fn source_began_anew(&self, peer: NodeId) {
        if let Some(source) = self.lock().sources.get_mut(&peer) {
            (source.next, source.start) = (None, None);
        }
    }

    /// The peer has ended, and all it had sent has been read.
    pub(super) fn forget(&self, peer: NodeId) {
        let mut state = self.lock();
        state.sources.remove(&peer);
        state.subscribers.retain(|subscriber| subscriber.peer != peer);
        self.tell_watchers(&state);
        self.subscribers_changed.send_replace(());
    }
}

impl State {
    fn begin_round(&mut self) -> u64 {
        self.phase = Phase::Starting;
        self.round += 1;
        self.round
    }
}

impl Source {
    /// Whether it confirmed or refused.
    pub(super) fn answered(&self) -> bool {
        self.answer != SourceAnswer::Awaited
    }
}
