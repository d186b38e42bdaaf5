//! When the next primary process is started: at once the first time, then after growing pauses. Pure.

use std::time::Duration;

use multi_node_fleet::fleet::Backoff;

/// One that has lived for so long is forgiven what came before it.
const STABLE: Duration = Duration::from_secs(60);

/// How many ends there were without a stable run between them.
#[derive(Debug, Default)]
pub(super) struct Ends(u32);

impl Ends {
    /// One more, of a process that has lived for so long. How long to wait.
    pub(super) fn one_more(&mut self, lived: Duration, backoff: Backoff) -> Duration {
        let before = if lived >= STABLE { 0 } else { self.0 };
        self.0 = before.saturating_add(1);
        backoff.pause(before).max(backoff.spacing(lived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_one_has_lived_for_long() {
        let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(1), jitter: 0.0 };
        let mut ends = Ends::default();
        let mut pause = |lived| ends.one_more(lived, backoff).as_millis();
        let second = Duration::from_secs(1);
        assert_eq!([pause(second), pause(second), pause(second)], [0, 100, 200]);
        assert_eq!([pause(second), pause(second), pause(second)], [400, 800, 1000]);
        assert_eq!([pause(STABLE), pause(second)], [0, 100]);
        assert_eq!(Ends::default().one_more(Duration::ZERO, backoff).as_millis(), 100, "no faster than that");
        (0..100).for_each(|_| assert!(pause(Duration::ZERO) <= 1000));
    }
}
