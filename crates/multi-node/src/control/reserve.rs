//! Descriptors in hand, for what must not fail when connections have taken all others.

use std::fs::File;

/// A new peer takes two; a reload joins a node with as many peers as there are slots, while as many others leave.
const COUNT: usize = 32;

/// So many descriptors that lead nowhere, in the place of others.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    /// What the others are duplicates of; `None`: nothing is kept.
    null: Option<File>,
    spare: Vec<File>,
}

impl Reserve {
    /// A full one, as far as this process has descriptors left.
    pub(crate) fn full() -> Reserve {
        let mut reserve = Reserve { null: File::open("/dev/null").ok(), spare: Vec::with_capacity(COUNT) };
        reserve.refill();
        reserve
    }

    /// Makes room for whoever asks next.
    pub(crate) fn lend(&mut self) {
        self.spare.clear();
    }

    /// Takes back what is left of the room.
    pub(crate) fn refill(&mut self) {
        let Some(null) = &self.null else { return };
        let missing = COUNT.saturating_sub(self.spare.len());
        self.spare.extend((0..missing).map_while(|_| null.try_clone().ok()));
    }

    /// Gives the room up for good.
    pub(crate) fn spend(&mut self) {
        *self = Reserve::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lent_is_taken_back_and_what_was_spent_is_not() {
        let mut reserve = Reserve::full();
        assert_eq!(reserve.spare.len(), COUNT);
        reserve.lend();
        assert_eq!(reserve.spare.len(), 0);
        reserve.refill();
        assert_eq!(reserve.spare.len(), COUNT);
        reserve.spend();
        reserve.refill();
        assert_eq!(reserve.spare.len(), 0);
    }
}
