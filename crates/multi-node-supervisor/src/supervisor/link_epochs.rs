//! Links of the bus between two processes: the epoch of each pair's link, and when it was made. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::NodeId;

/// Both processes of a pair ask for the same link. The second question is answered by the link of the first for so long.
const ANSWERED: Duration = Duration::from_secs(1);

/// A pair gets at most one link in this time, so that a process that asks without end costs little.
const PAUSE: Duration = Duration::from_millis(10);

/// The pairs that have had a link.
#[derive(Debug, Default)]
pub(super) struct LinkEpochs(BTreeMap<(NodeId, NodeId), (u64, Option<Instant>)>);

impl LinkEpochs {
    /// The epoch of the next link, which a process asks for. `broken` is the highest epoch that it has seen.
    /// `None`: the answer is under way already, or the question came too soon and is asked again.
    pub(super) fn next(&mut self, pair: (NodeId, NodeId), broken: u64, now: Instant) -> Option<u64> {
        let last = self.0.get(&pair).copied();
        if let Some((epoch, Some(made))) = last {
            let age = now.saturating_duration_since(made);
            if age < PAUSE || (epoch > broken && age < ANSWERED) {
                return None;
            }
        }
        let epoch = last.map_or(0, |(epoch, _)| epoch).max(broken).checked_add(1)?;
        self.0.insert(pair, (epoch, Some(now)));
        Some(epoch)
    }

    /// A process has ended, and another one gets its id: the next link is made at once, with a higher epoch.
    pub(super) fn renew(&mut self, id: NodeId) {
        let of_it = self.0.iter_mut().filter(|((first, second), _)| *first == id || *second == id);
        of_it.for_each(|(_, (_, made))| *made = None);
    }

    /// A process has ended, and its id does not come back.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.0.retain(|(first, second), _| *first != id && *second != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_gets_one_link_for_both_questions_and_another_when_it_broke() {
        let (one, two, three) = (NodeId::node(1), NodeId::node(2), NodeId::node(3));
        let (mut epochs, now) = (LinkEpochs::default(), Instant::now());
        assert_eq!(epochs.next((one, two), 0, now), Some(1));
        assert_eq!(epochs.next((one, two), 0, now + ANSWERED / 2), None, "the other one's question");
        assert_eq!(epochs.next((one, three), 0, now), Some(1), "another pair");
        assert_eq!(epochs.next((one, two), 1, now + PAUSE / 2), None, "too soon");
        assert_eq!(epochs.next((one, two), 1, now + PAUSE), Some(2), "it broke");
        assert_eq!(epochs.next((one, two), 0, now + PAUSE + ANSWERED), Some(3), "the answer was lost");
    }

    #[test]
    fn a_master_that_has_forgotten_goes_on_above_what_was() {
        let (pair, now) = ((NodeId::MASTER, NodeId::node(2)), Instant::now());
        let mut epochs = LinkEpochs::default();
        assert_eq!(epochs.next(pair, 7, now), Some(8));
        assert_eq!(epochs.next(pair, u64::MAX, now + PAUSE), None, "nothing is above it");
        epochs.renew(NodeId::node(2));
        assert_eq!(epochs.next(pair, 0, now + PAUSE), Some(9), "at once, and above what was");
        epochs.forget(NodeId::node(2));
        assert_eq!(epochs.next(pair, 0, now + PAUSE), Some(1));
    }
}
