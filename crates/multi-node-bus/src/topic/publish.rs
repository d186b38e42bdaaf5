//! What this process publishes, and which peers get it.

use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::NodeId;
use tokio::time::Instant;

use super::state::{State, Subscriber, Topic};
use super::{Event, Published};
use crate::frame::{HEADER, Head, Kind, append};
use crate::link::Outbox;
use crate::payload::Payload;

/// A message after such a pause is written at once, by the task that publishes. Sooner ones wait for the writer, which gathers them.
const AT_REST: Duration = Duration::from_micros(200);

/// A larger buffer for encoding is given back after use.
const KEPT_SCRATCH: usize = 64 << 10;

impl Topic {
    /// Gives the messages, one after the other, to all that have subscribed, here and elsewhere. It never waits for them. Each peer's queue
    /// is locked once, and its writer woken once. Tells the number of the first, and what became of all of them together.
    pub(super) fn publish<P>(&self, payloads: P, without_bus: u32) -> Published
    where
        P: AsRef<[Payload]> + IntoIterator<Item = Payload>,
    {
        let mut state = self.lock();
        let (first, count) = (state.next, payloads.as_ref().len() as u64);
        state.next += count;
        let (sent, missed) =
            if state.subscribers.is_empty() { (0, 0) } else { self.send(&mut state, first, payloads.as_ref()) };
        for (seq, payload) in (first..).zip(payloads) {
            if let Some(ring) = &mut state.history {
                ring.keep(self.me, seq, &payload);
            }
            self.publish_here(&state, payload);
        }
        drop(state);
        self.counts.published.add(count);
        Published { seq: first, sent, missed, without_bus: without_bus as usize }
    }

    /// How many were queued for a peer, and how many a peer missed; of all peers together.
    fn send(&self, state: &mut State, first: u64, payloads: &[Payload]) -> (usize, usize) {
        let now = Instant::now();
        let at_rest = state.last_sent.replace(now).is_none_or(|last| now - last > AT_REST);
        let State { scratch, subscribers, .. } = state;
        scratch.clear();
        for (seq, payload) in (first..).zip(payloads) {
            let head = Head::new(Kind::Message).flags(payload.content.to_flags()).channel(self.channel).seq(seq);
            append(head, &[&payload.bytes], scratch);
        }
        let queue = |link: &Arc<Outbox>| link.messages(self.channel, frames(first, payloads, scratch), at_rest);
        let links = subscribers.iter().filter_map(|subscriber| subscriber.link.as_ref());
        let sent = links.map(queue).sum();
        if scratch.capacity() > KEPT_SCRATCH {
            *scratch = Vec::new();
        }
        let missed = subscribers.len() * payloads.len() - sent;
        self.counts.sent.add(sent as u64);
        if missed > 0 {
            self.counts.dropped_for_peers.add(missed as u64);
        }
        (sent, missed)
    }

    fn publish_here(&self, state: &State, payload: Payload) {
        let Some((last, others)) = state.readers.split_last() else { return };
        for reader in others {
            let pushed = reader.push([Event::Message { from: self.me, payload: payload.clone() }]);
            self.counts.dropped_for_subscribers.add(pushed.dropped);
        }
        let pushed = last.push([Event::Message { from: self.me, payload }]);
        self.counts.dropped_for_subscribers.add(pushed.dropped);
    }

    /// A peer subscribes. From here on it gets everything over this link.
    pub(crate) fn add_subscriber(&self, link: &Arc<Outbox>, its_channel: u32, question: u64) {
        let mut state = self.lock();
        state.subscribers.retain(|subscriber| subscriber.peer != link.peer);
        let head = Head::new(Kind::Confirmed).channel(self.channel).seq(state.next);
        link.control(head, &[&its_channel.to_le_bytes(), &question.to_le_bytes()]);
        self.say_relayed(&state, link);
        state.subscribers.push(Subscriber { peer: link.peer, link: Some(link.clone()) });
        self.subscribers_changed.send_replace(());
    }

    /// A peer no longer subscribes.
    pub(crate) fn remove_subscriber(&self, link: &Outbox) {
        let mut state = self.lock();
        let is_it = |subscriber: &Subscriber| subscriber.link.as_ref().is_some_and(|its| its.epoch == link.epoch);
        state.subscribers.retain(|subscriber| subscriber.peer != link.peer || !is_it(subscriber));
        link.control(Head::new(Kind::Unsubscribed).channel(self.channel), &[]);
        self.subscribers_changed.send_replace(());
    }

    /// The peer's link is broken. It subscribes anew, and misses what is published meanwhile.
    pub(super) fn subscriber_lost(&self, link: &Outbox) {
        let mut state = self.lock();
        for subscriber in state.subscribers.iter_mut().filter(|subscriber| subscriber.peer == link.peer) {
            subscriber.link.take_if(|its| its.epoch <= link.epoch);
        }
    }

    /// Forgets the peer if it has not subscribed anew.
    pub(super) fn drop_lost_subscriber(&self, peer: NodeId) {
        self.lock().subscribers.retain(|subscriber| subscriber.peer != peer || subscriber.link.is_some());
        self.subscribers_changed.send_replace(());
    }
}

impl Topic {
    /// The peers that have subscribed.
    pub(super) fn subscribers(&self) -> Vec<NodeId> {
        self.lock().subscribers.iter().map(|subscriber| subscriber.peer).collect()
    }

    /// The links of the peers that have subscribed.
    pub(super) fn subscriber_links(&self) -> Vec<Arc<Outbox>> {
        self.lock().subscribers.iter().filter_map(|subscriber| subscriber.link.clone()).collect()
    }
}

/// Splits the bytes into the frames of these payloads, each with its number.
fn frames<'a>(
    first: u64,
    payloads: &'a [Payload],
    mut bytes: &'a [u8],
) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
    (first..).zip(payloads).map(move |(seq, payload)| {
        let (frame, rest) = bytes.split_at(HEADER + payload.bytes.len());
        bytes = rest;
        (seq, frame)
    })
}
