//! Which messages of this machine's processes come next, by topic. Gateways repeat it, so that a loss shows even if nothing follows.

use std::collections::{BTreeMap, BTreeSet};

use multi_node_fleet::id::Slot;

use crate::frame::{Place, Publisher};

/// At how many ticks a place is repeated after its last change.
const REPEATED: u8 = 5;

/// The places of one topic, by the publisher's number.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<u64, At>);

#[derive(Clone, Copy, Debug)]
struct At {
    /// As it was at first: a process that has ended has none.
    slot: Option<Slot>,
    next: u64,
    /// How often it is still repeated.
    left: u8,
}

impl Places {
    /// Whether something is known of this publisher.
    pub(super) fn knows(&self, number: u64) -> bool {
        self.0.contains_key(&number)
    }

    /// The publisher's messages begin here, unless it has a place already.
    pub(super) fn begin(&mut self, from: Publisher, first: u64) {
        self.0.entry(from.number).or_insert(At { slot: from.slot, next: first, left: REPEATED });
    }

    /// Some more messages were published. Gives the publisher as it is known, and the number of the first.
    pub(super) fn advance(&mut self, from: Publisher, messages: u64) -> Place {
        self.begin(from, 1);
        let Some(at) = self.0.get_mut(&from.number) else { return Place { from, next: 1 } };
        let before = at.place(from.number);
        (at.next, at.left) = (at.next.saturating_add(messages), REPEATED);
        before
    }

    /// All places.
    pub(super) fn all(&self) -> impl Iterator<Item = Place> {
        self.0.iter().map(|(number, at)| at.place(*number))
    }

    /// All places are repeated from now on.
    pub(super) fn repeat(&mut self) {
        self.0.values_mut().for_each(|at| at.left = REPEATED);
    }

    /// What has changed lately. Publishers that are gone, and whose places have been repeated, are forgotten.
    pub(super) fn due(&mut self, living: &BTreeSet<u64>) -> Vec<Place> {
        let due = self.0.iter().filter(|(_, at)| at.left > 0).map(|(number, at)| at.place(*number)).collect();
        self.0.retain(|number, at| {
            at.left = at.left.saturating_sub(1);
            at.left > 0 || living.contains(number)
        });
        due
    }
}

impl At {
    fn place(&self, number: u64) -> Place {
        Place { from: Publisher { number, slot: self.slot }, next: self.next }
    }
}
