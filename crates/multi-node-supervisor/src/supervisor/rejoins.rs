//! Remade streams between processes: how often, and how soon again. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::NodeId;

/// A pair gets no more than one new stream in this time, so that a program that drops each one at once costs little.
const PAUSE: Duration = Duration::from_millis(500);

/// The epoch of each pair's stream, and when it was made; pairs that have their first stream are not here.
#[derive(Debug, Default)]
pub(super) struct Rejoins(BTreeMap<(NodeId, NodeId), (u64, Instant)>);

impl Rejoins {
    /// The epoch of a pair's next stream.
    pub(super) fn next(&mut self, pair: (NodeId, NodeId), now: Instant) -> Result<u64, String> {
        let last = self.0.get(&pair).copied();
        if last.is_some_and(|(_, made)| now.saturating_duration_since(made) < PAUSE) {
            return Err(format!("{} and {} got a new stream less than {PAUSE:?} ago", pair.0, pair.1));
        }
        let epoch = last.map_or(1, |(epoch, _)| epoch + 1);
        self.0.insert(pair, (epoch, now));
        Ok(epoch)
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
    fn epochs_grow_by_pair_and_not_too_fast() {
        let (one, two, three) = (NodeId::node(1), NodeId::node(2), NodeId::node(3));
        let (mut rejoins, now) = (Rejoins::default(), Instant::now());
        assert_eq!(rejoins.next((one, two), now), Ok(1));
        assert!(rejoins.next((one, two), now + PAUSE / 2).expect_err("too soon").contains("500ms"));
        assert_eq!(rejoins.next((one, three), now), Ok(1), "another pair");
        assert_eq!(rejoins.next((one, two), now + PAUSE), Ok(2));
        rejoins.forget(two);
        assert_eq!(rejoins.next((one, two), now), Ok(1));
        assert_eq!(rejoins.next((one, three), now + PAUSE), Ok(2));
    }
}
