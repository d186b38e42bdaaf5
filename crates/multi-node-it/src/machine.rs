//! Tests of how evenly and how soon nodes answer: what they show, and what the machine may be blamed for.

use std::fmt::Debug;
use std::time::Duration;

use crate::{needs, procfs};

/// A node that has waited for a processor for so long in a round may not have answered an offer in time, and then others have
/// taken its connections, as they should.
const HELD_UP: Duration = Duration::from_millis(5);

/// How long the machine keeps processes from doing their part.
#[derive(Debug)]
pub struct Machine<'a> {
    pids: &'a [u32],
    before: Vec<Duration>,
}

impl Machine<'_> {
    /// From now on.
    pub fn watch(pids: &[u32]) -> Machine<'_> {
        Machine { pids, before: Machine::delays(pids) }
    }

    /// The longest time for which one of them was held up since then.
    pub fn held_up(&self) -> Duration {
        let delays = Machine::delays(self.pids).into_iter().zip(&self.before);
        delays.map(|(after, before)| after.saturating_sub(*before)).max().unwrap_or_default()
    }

    /// What each has waited for a processor, and what the processors themselves were not there.
    fn delays(pids: &[u32]) -> Vec<Duration> {
        pids.iter().map(|pid| procfs::run_delay(*pid)).chain([procfs::stolen()]).collect()
    }
}

/// How many rounds there are at most.
const ROUNDS: u32 = 10;

/// Repeats rounds until one is well. Each round also returns for how long the machine has held up a node. A bad round with
/// more than [`HELD_UP`] is not judged, and another follows. If no round can be judged the test is skipped.
pub async fn assert_well<T: Debug>(mut round: impl AsyncFnMut() -> (T, Duration), is_well: impl Fn(&T) -> bool) {
    for number in 1..=ROUNDS {
        let (seen, held_up) = round().await;
        if is_well(&seen) {
            return println!("round {number} is judged: {seen:?}");
        }
        assert!(
            held_up > HELD_UP,
            "round {number} is judged: {seen:?}, and no node was held up for longer than {held_up:?}"
        );
        println!("round {number} is not judged, since a node was held up for {held_up:?}: {seen:?}");
    }
    needs::skip(format_args!("this machine is too busy: it held up a node in each of {ROUNDS} rounds"));
}
