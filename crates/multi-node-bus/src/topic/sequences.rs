//! The numbers of messages that processes of other machines publish on one topic. Pure.
//!
//! They come over several hops, each of which may lose messages, and gateways come and go. So the place where messages arrive
//! compares the publisher's own numbers, and finds each gap wherever it came from.

use multi_node_fleet::id::NodeId;

use crate::remote::ByProcess;

/// By publisher. One that is forgotten begins anew, and a gap at this very moment stays unseen.
#[derive(Debug, Default)]
pub struct Sequences(ByProcess<Place>);

#[derive(Clone, Copy, Debug)]
struct Place {
    start: u64,
    next: u64,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// New, after this many that are missing.
    After(u64),
    /// One that came before, or that was taken for missing.
    Late,
}

impl Sequences {
    /// A message came.
    pub fn message(&mut self, from: NodeId, seq: u64) -> Came {
        let place = self.place(from, seq);
        if seq < place.next {
            return Came::Late;
        }
        let missed = seq - place.next;
        place.next = seq.saturating_add(1);
        Came::After(missed)
    }

    /// The publisher's next message is this one. Says how many before it are missing.
    pub fn next_is(&mut self, from: NodeId, next: u64) -> u64 {
        let place = self.place(from, next);
        let missed = next.saturating_sub(place.next);
        place.next = place.next.max(next);
        missed
    }

    /// The number of the first message that could come. What is older comes from a history.
    pub(super) fn start(&self, from: NodeId) -> Option<u64> {
        self.0.get(from).map(|place| place.start)
    }

    /// The place of a publisher, which begins with this number.
    fn place(&mut self, from: NodeId, start: u64) -> &mut Place {
        self.0.entry(from, || Place { start, next: start })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_gap_is_seen_once_and_nothing_comes_twice() {
        let (mut sequences, from) = (Sequences::default(), NodeId::remote(1));
        assert_eq!(sequences.message(from, 5), Came::After(0), "it begins anywhere");
        assert_eq!(sequences.message(from, 6), Came::After(0));
        assert_eq!(sequences.message(from, 9), Came::After(2));
        assert_eq!(sequences.message(from, 7), Came::Late);
        assert_eq!(sequences.next_is(from, 12), 2, "the last ones are lost");
        assert_eq!(sequences.next_is(from, 11), 0);
        assert_eq!(sequences.message(from, 12), Came::After(0));
        assert_eq!(sequences.message(NodeId::remote(2), 1), Came::After(0), "others count for themselves");
        assert_eq!(sequences.start(from), Some(5));
    }

    proptest! {
        #[test]
        fn what_came_and_what_is_missing_is_all_that_there_was(
            steps in prop::collection::vec((0..40u64, any::<bool>()), 1..200), last in 40..50u64,
        ) {
            let (mut sequences, from) = (Sequences::default(), NodeId::remote(1));
            let mut seen = sequences.next_is(from, 0);
            for (seq, is_message) in steps {
                seen += match is_message {
                    true => match sequences.message(from, seq) {
                        Came::After(missed) => missed + 1,
                        Came::Late => 0,
                    },
                    false => sequences.next_is(from, seq),
                };
            }
            prop_assert_eq!(seen + sequences.next_is(from, last), last);
        }
    }
}
