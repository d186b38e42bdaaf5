//! The last messages of a topic, which each process that asked for them keeps.
//!
//! A missing sequence number is taken for a loss, here (`with_gaps`) and in `settle.rs` (`gaps_after`). Code that leaves out a message on
//! purpose has to tell both.

use std::collections::VecDeque;

use bytes::Bytes;
use multi_node_fleet::id::NodeId;

use super::Event;
use crate::frame::Needs;
use crate::payload::Payload;

/// A message of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) from: NodeId,
    pub(crate) seq: u64,
    pub(crate) payload: Payload,
}

/// The last `most` messages in the order in which they came to this process.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) most: usize,
    items: VecDeque<Item>,
    /// It had as many as it keeps. What is older no longer fits before them, or not without a gap.
    was_full: bool,
}

impl Ring {
    pub(super) fn new(most: usize) -> Ring {
        Ring { most, items: VecDeque::new(), was_full: false }
    }

    /// Keeps a copy: the payload may be a small part of a large buffer.
    pub(super) fn keep(&mut self, from: NodeId, seq: u64, payload: &Payload) {
        if self.items.len() >= self.most {
            self.items.pop_front();
        }
        let payload = Payload { content: payload.content, bytes: Bytes::copy_from_slice(&payload.bytes) };
        self.items.push_back(Item { from, seq, payload });
        self.was_full |= self.items.len() >= self.most;
    }

    /// Whether a subscription that begins now has to wait for older messages.
    pub(super) fn needs_older(&self) -> bool {
        !self.was_full
    }

    /// Puts older messages before those that are here.
    pub(super) fn put_before(&mut self, older: &[Item]) {
        let room = self.most.saturating_sub(self.items.len());
        for item in older.iter().rev().take(room) {
            self.items.push_front(item.clone());
        }
    }

    /// The messages, with a `Lagged` where some of a publisher are missing between two of them.
    pub(super) fn events(&self) -> Vec<Event> {
        with_gaps(self.items.iter())
    }

    /// What answers a question: the newest messages that it wants, in at most this many bytes.
    pub(super) fn answer(&self, needs: &Needs, most_bytes: usize) -> Vec<Item> {
        let most_bytes = most_bytes.min(needs.most_bytes as usize);
        let bound = |item: &Item| needs.before.iter().find(|(node, _)| *node == item.from).map(|(_, before)| *before);
        let wanted = self.items.iter().rev().filter(|item| bound(item).is_none_or(|before| item.seq < before));
        let mut bytes = 0;
        let fits = |item: &&Item| {
            bytes += item.payload.bytes.len();
            bytes <= most_bytes
        };
        let mut items: Vec<Item> = wanted.take(needs.most as usize).take_while(fits).cloned().collect();
        items.reverse();
        items
    }
}

/// The items as events.
pub(super) fn with_gaps<'a>(items: impl Iterator<Item = &'a Item>) -> Vec<Event> {
    let mut last: Vec<(NodeId, u64)> = Vec::new();
    let mut events = Vec::new();
    for item in items {
        match last.iter_mut().find(|(from, _)| *from == item.from) {
            Some((from, seq)) => {
                let missed = item.seq.saturating_sub(*seq).saturating_sub(1);
                if missed > 0 {
                    events.push(Event::Lagged { from: *from, missed });
                }
                *seq = item.seq;
            }
            None => last.push((item.from, item.seq)),
        }
        events.push(Event::Message { from: item.from, payload: item.payload.clone() });
    }
    events
}
