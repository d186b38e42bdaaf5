//! What each server does for a request.

use std::{pin::Pin, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Sleep, sleep};

use super::HELLO;

/// The paths of slow requests. The milliseconds follow.
const BURN: &str = "/burn/";
const WAIT: &str = "/wait/";

/// A request that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slow {
    /// It burns this much processor time, as a template, a hash or a large JSON does.
    Burn(Duration),
    /// It waits for this long, as for a database or another server.
    Wait(Duration),
}

impl Slow {
    /// The path by which it is asked for.
    pub(crate) fn path(self) -> String {
        match self {
            Slow::Burn(time) => format!("{BURN}{}", time.as_millis()),
            Slow::Wait(time) => format!("{WAIT}{}", time.as_millis()),
        }
    }
}

/// Answers a request for this path, after the processor time that it asks for.
pub(super) fn answer(path: &str) -> &'static str {
    if let Some(time) = millis(path, BURN) {
        burn(time);
    }
    HELLO
}

/// What a request for this path waits for before it is answered. On the heap, so that other requests carry no timer.
pub(super) fn wait(path: &str) -> Option<Pin<Box<Sleep>>> {
    millis(path, WAIT).map(|time| Box::pin(sleep(time)))
}

fn millis(path: &str, prefix: &str) -> Option<Duration> {
    path.strip_prefix(prefix)?.parse().ok().map(Duration::from_millis)
}

/// Uses this much processor time of the thread.
fn burn(time: Duration) {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let begun = used();
    while used().saturating_sub(begun) < time {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_requests_are_told_by_their_paths() {
        let time = Duration::from_millis(20);
        let (burn, wait) = (Slow::Burn(time).path(), Slow::Wait(time).path());
        assert_eq!((millis(&burn, BURN), millis(&burn, WAIT)), (Some(time), None));
        assert_eq!((millis(&wait, BURN), millis(&wait, WAIT)), (None, Some(time)));
        assert_eq!(millis("/", BURN), None);
    }
}
