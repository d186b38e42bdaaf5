//! Descriptors in hand, for what must not fail when connections have taken all others.

use std::fs::File;

use crate::sys;

/// The minimum that is kept: a new process may come before another has gone, and streams are sometimes remade.
const LEAST: usize = 16;

/// What is lent where a message does not say yet how many it brings. One that comes later than the first brings fewer.
const LENT: usize = 32;

/// Descriptors that lead nowhere and keep room for others.
#[derive(Debug, Default)]
pub struct Reserve {
    /// What the others are duplicates of; `None`: nothing is kept.
    null: Option<File>,
    spare: Vec<File>,
    /// How many streams to other processes may come still.
    expected: usize,
}

impl Reserve {
    /// A full one for this number of streams, as far as this process has descriptors left.
    pub fn of(expected: usize) -> Reserve {
        sys::process::widen_file_table(expected + LENT);
        let mut reserve = Reserve { null: File::open("/dev/null").ok(), spare: Vec::new(), expected };
        reserve.refill();
        reserve
    }

    /// Whether room is kept at all.
    pub(super) fn keeps_room(&self) -> bool {
        self.null.is_some()
    }

    /// Makes room for this number of descriptors, or for those of any message. What came stands in their place: [`refill`](Self::refill) takes back
    /// what else was lent, unless the caller [gives](Self::give) it.
    pub(super) fn lend(&mut self, descriptors: Option<usize>) {
        self.spare.truncate(self.spare.len().saturating_sub(descriptors.unwrap_or(LENT)));
    }

    /// Takes back what is left of the room.
    pub fn refill(&mut self) {
        let Some(null) = &self.null else { return };
        let wanted = self.expected.max(LEAST);
        self.spare.truncate(wanted);
        let missing = wanted - self.spare.len();
        self.spare.extend((0..missing).map_while(|_| null.try_clone().ok()));
    }

    /// Streams have come, and use what was kept for them.
    pub fn give(&mut self, streams: usize) {
        self.expected = self.expected.saturating_sub(streams);
        self.spare.truncate(self.expected.max(LEAST));
    }

    /// Streams have gone.
    pub fn take_back(&mut self, streams: usize) {
        if self.null.is_some() {
            self.expected += streams;
        }
    }

    /// Gives the room up for good.
    pub fn spend(&mut self) {
        *self = Reserve::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_is_taken_back_and_what_was_spent_is_not() {
        let mut reserve = Reserve::of(100);
        assert_eq!(reserve.spare.len(), 100);
        reserve.lend(Some(4));
        assert_eq!(reserve.spare.len(), 96);
        reserve.refill();
        reserve.lend(None);
        assert_eq!(reserve.spare.len(), 100 - LENT);
        reserve.refill();
        assert_eq!(reserve.spare.len(), 100);
        reserve.spend();
        reserve.take_back(2);
        reserve.refill();
        assert_eq!(reserve.spare.len(), 0);
    }

    #[test]
    fn streams_use_what_was_kept_for_them_and_leave_it_when_they_go() {
        let mut reserve = Reserve::of(100);
        reserve.give(60);
        assert_eq!(reserve.spare.len(), 40, "at once");
        reserve.give(60);
        reserve.refill();
        assert_eq!(reserve.spare.len(), LEAST);
        reserve.take_back(30);
        reserve.refill();
        assert_eq!(reserve.spare.len(), 30);
    }
}
