//! Messages of other machines: what the gateway passes on, and how they come to subscribers here.

use std::sync::Arc;

use multi_node_fleet::id::NodeId;

use super::queue::Queue;
use super::receive::confirmed;
use super::sequences::Came;
use super::state::{State, Topic};
use super::{Arrived, Event, Topics};
use crate::frame::{Head, Kind, encode_remote};
use crate::link::Outbox;
use crate::payload::Payload;
use crate::remote::{ByProcess, RemoteProcess};

/// The places of publishers, as a gateway has passed them on: for processes that subscribe later.
#[derive(Debug, Default)]
pub(super) struct Relayed(ByProcess<(RemoteProcess, u64)>);

impl Relayed {
    fn next_is(&mut self, process: &RemoteProcess, next: u64) {
        let (_, place) = self.0.entry(process.id(), || (process.clone(), next));
        *place = next.max(*place);
    }
}

impl Topic {
    /// A message that came from another machine. Says how many peers it was queued for.
    fn relay(&self, process: &RemoteProcess, seq: u64, payload: &Payload) -> usize {
        let mut state = self.lock();
        state.relayed.next_is(process, seq.saturating_add(1));
        let head = Head::new(Kind::RemoteMessage).flags(payload.content.to_flags()).channel(self.channel).seq(seq);
        let named = encode_remote(process);
        let links = state.subscribers.iter().filter_map(|subscriber| subscriber.link.as_ref());
        let sent = links.filter(|link| link.send_now(head, &named, &payload.bytes).is_ok()).count();
        let dropped = state.subscribers.len() - sent;
        drop(state);
        self.counts.sent.add(sent as u64);
        self.counts.dropped_for_peers.add(dropped as u64);
        sent
    }

    /// The next message of a process of another machine.
    fn relay_next(&self, process: &RemoteProcess, next: u64) {
        let mut state = self.lock();
        state.relayed.next_is(process, next);
        for link in state.subscribers.iter().filter_map(|subscriber| subscriber.link.as_ref()) {
            self.say_next(link, process, next);
        }
    }

    /// Names the places of all publishers to a peer that subscribes.
    pub(super) fn say_relayed(&self, state: &State, link: &Outbox) {
        state.relayed.0.values().for_each(|(process, next)| self.say_next(link, process, *next));
    }

    fn say_next(&self, link: &Outbox, process: &RemoteProcess, next: u64) {
        link.control(Head::new(Kind::RemoteNext).channel(self.channel).seq(next), &[&encode_remote(process)]);
    }

    /// A message that the gateway passes on. Gives a subscription that is more than half full.
    pub(crate) fn deliver_remote(&self, gateway: &Outbox, from: NodeId, message: Arrived) -> Option<Arc<Queue>> {
        let Arrived { seq, payload } = message;
        self.counts.received.one();
        let mut state = self.lock();
        let State { sources, remotes, history, .. } = &mut *state;
        confirmed(sources.get_mut(&gateway.peer), gateway)?;
        let Came::After(missed) = remotes.message(from, seq) else { return None };
        if let Some(ring) = history {
            ring.keep(from, seq, &payload);
        }
        let mut events = Vec::with_capacity(2);
        if missed > 0 {
            self.counts.missed.add(missed);
            events.push(Event::Lagged { from, missed });
        }
        events.push(Event::Message { from, payload });
        self.push(&state, events)
    }

    /// The gateway says what the next message of this publisher is.
    pub(crate) fn remote_next(&self, gateway: &Outbox, from: NodeId, next: u64) {
        let mut state = self.lock();
        let State { sources, remotes, .. } = &mut *state;
        if confirmed(sources.get_mut(&gateway.peer), gateway).is_some() {
            let missed = remotes.next_is(from, next);
            self.tell_gap(&state, from, missed);
        }
    }
}

impl Topics {
    /// Gives a message of another machine to all peers that subscribe. Says to how many.
    pub(crate) fn relay(&self, name: &str, process: &RemoteProcess, seq: u64, payload: &Payload) -> usize {
        self.by_name(name).map_or(0, |topic| topic.relay(process, seq, payload))
    }

    /// Says to all peers that subscribe what the next message of this process is.
    pub(crate) fn relay_next(&self, name: &str, process: &RemoteProcess, next: u64) {
        if let Some(topic) = self.by_name(name) {
            topic.relay_next(process, next);
        }
    }
}
