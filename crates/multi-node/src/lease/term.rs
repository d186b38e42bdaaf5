//! For how long a lease over machines holds, and when another machine may take it. Pure: each process goes by its own steady clock, so that the
//! time of day of machines may differ.
//!
//! A holder gives up [`HOLDS`] after the last renewal that it began and that succeeded. Others wait until they have seen the same revision for
//! [`TTL`], which is longer, since they have seen it later than it was written.

use std::time::Duration;

use tokio::time::Instant;

/// After which time without a renewal others may take the lease.
pub(super) const TTL: Duration = Duration::from_secs(9);

/// After which time without a renewal its holder gives it up: the rest is for the job's end, and for clocks of different speed.
pub(super) const HOLDS: Duration = Duration::from_secs(6);

/// The pause between renewals, and between looks whether the lease is free.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// Who waits for a lease.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    seen: Option<(u64, Instant)>,
}

impl Waiting {
    /// The lease was seen at this revision, with its holder's time to live. Says whether it may be taken.
    pub(super) fn sees(&mut self, revision: u64, ttl: Duration, now: Instant) -> bool {
        match self.seen {
            Some((seen, since)) if seen == revision => now.saturating_duration_since(since) >= ttl,
            _ => {
                self.seen = Some((revision, now));
                ttl.is_zero()
            }
        }
    }
}

/// Who holds a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    /// The revision of the term's first value: each term has a higher one.
    pub(super) token: u64,
    pub(super) revision: u64,
    /// When the last renewal began.
    renewed: Instant,
}

impl Holding {
    pub(super) fn new(revision: u64, began: Instant) -> Holding {
        Holding { token: revision, revision, renewed: began }
    }

    pub(super) fn renewed(&mut self, revision: u64, began: Instant) {
        (self.revision, self.renewed) = (revision, began);
    }

    /// When it is given up.
    pub(super) fn until(&self) -> Instant {
        self.renewed + HOLDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_when_nobody_has_renewed_it_for_its_time_to_live() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let mut sees = |revision, after| waiting.sees(revision, TTL, start + Duration::from_millis(after));
        assert!(!sees(1, 0), "it may have been written just now");
        assert!(!sees(1, 8_999));
        assert!(!sees(2, 9_000), "it was renewed");
        assert!(!sees(2, 17_999));
        assert!(sees(2, 18_000));
        assert!(Waiting::default().sees(7, Duration::ZERO, start), "it is free");
    }

    #[test]
    fn its_holder_has_given_it_up_before() {
        let start = Instant::now();
        let mut holding = Holding::new(5, start);
        assert_eq!(holding.until(), start + HOLDS);
        // It began the renewal before anybody could see the revision.
        let (began, seen) = (start + EVERY, start + EVERY);
        holding.renewed(6, began);
        assert!(holding.until() + Duration::from_secs(3) <= seen + TTL);
        assert_eq!((holding.token, holding.revision), (5, 6));
    }
}
