//! What peers publish, and in which order subscribers here get it.

use std::sync::Arc;

use multi_node_fleet::id::NodeId;

use super::Event;
use super::queue::Queue;
use super::state::{Source, SourceAnswer, State, Topic};
use crate::link::Outbox;
use crate::payload::Payload;

/// A message of a peer.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) seq: u64,
    pub(crate) payload: Payload,
}

impl Topic {
    /// Messages of one peer, which came one after the other over this link. Gives a subscription that is more than half full, and of
    /// several the one that may be waited for longest.
    pub(crate) fn deliver(&self, link: &Outbox, run: impl ExactSizeIterator<Item = Arrived>) -> Option<Arc<Queue>> {
        let from = link.peer;
        self.counts.received.add(run.len() as u64);
        let mut state = self.lock();
        let State { sources, history, .. } = &mut *state;
        let source = confirmed(sources.get_mut(&from), link)?;
        let mut events = Vec::with_capacity(run.len());
        for Arrived { seq, payload } in run {
            let next = source.next.unwrap_or(seq);
            if seq < next {
                continue;
            }
            if seq > next {
                self.counts.missed.add(seq - next);
                events.push(Event::Lagged { from, missed: seq - next });
            }
            source.next = Some(seq.saturating_add(1));
            if let Some(ring) = history {
                ring.keep(from, seq, &payload);
            }
            events.push(Event::Message { from, payload });
        }
        self.tell_watchers(&state);
        self.push(&state, events)
    }

    /// The peer dropped messages up to this one before they were sent.
    pub(crate) fn missed(&self, link: &Outbox, last: u64) {
        let mut state = self.lock();
        let Some(source) = confirmed(state.sources.get_mut(&link.peer), link) else { return };
        let gap = source.advance(last.saturating_add(1));
        self.tell_gap(&state, link.peer, gap);
    }

    /// The peer confirms the subscription: its next message is this one. False when nobody asked, or no longer.
    pub(crate) fn confirmed(&self, link: &Outbox, question: u64, next: u64) -> bool {
        let mut state = self.lock();
        let Some(source) = state.sources.get_mut(&link.peer).filter(|source| source.was_asked(link, question)) else {
            return false;
        };
        source.answer = SourceAnswer::Confirmed;
        source.start.get_or_insert(next);
        let gap = source.advance(next);
        self.tell_gap(&state, link.peer, gap);
        true
    }

    /// The peer has no room for the topic.
    pub(crate) fn refused(&self, link: &Outbox, question: u64) {
        let mut state = self.lock();
        if let Some(source) = state.sources.get_mut(&link.peer).filter(|source| source.was_asked(link, question)) {
            source.answer = SourceAnswer::Refused;
        }
        self.tell_watchers(&state);
    }

    pub(super) fn tell_gap(&self, state: &State, from: NodeId, missed: u64) {
        self.tell_watchers(state);
        if missed > 0 {
            self.counts.missed.add(missed);
            self.push(state, vec![Event::Lagged { from, missed }]);
        }
    }

    pub(super) fn push(&self, state: &State, events: Vec<Event>) -> Option<Arc<Queue>> {
        let (last, others) = state.readers.split_last()?;
        let mut crowded = None;
        for reader in others {
            let pushed = reader.push(events.iter().cloned());
            self.counts.dropped_for_subscribers.add(pushed.dropped);
            crowded = Queue::most_patient(pushed.crowded.then_some(reader), crowded);
        }
        let pushed = last.push(events);
        self.counts.dropped_for_subscribers.add(pushed.dropped);
        Queue::most_patient(pushed.crowded.then_some(last), crowded).cloned()
    }
}

/// The source, if it has confirmed over this link.
pub(super) fn confirmed<'a>(source: Option<&'a mut Source>, link: &Outbox) -> Option<&'a mut Source> {
    source.filter(|source| {
        source.answer == SourceAnswer::Confirmed
            && source.asked.as_ref().is_some_and(|(asked, _)| asked.epoch == link.epoch)
    })
}

impl Source {
    fn was_asked(&self, link: &Outbox, question: u64) -> bool {
        self.asked.as_ref().is_some_and(|(asked, number)| asked.epoch == link.epoch && *number == question)
    }

    /// Goes on with this message, and says how many before it are missing.
    fn advance(&mut self, next: u64) -> u64 {
        let gap = self.next.map_or(0, |expected| next.saturating_sub(expected));
        self.next = Some(self.next.unwrap_or(next).max(next));
        gap
    }
}
