//! What each server does for a request.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::HELLO;

/// The path of a request that burns this many milliseconds of processor time.
const BURN: &str = "/burn/";

/// The path by which a request burns processor time.
pub(crate) fn burn_path(time: Duration) -> String {
    format!("{BURN}{}", time.as_millis())
}

/// Answers a request for this path, after the work that it asks for.
pub(super) fn answer(path: &str) -> &'static str {
    if let Some(ms) = path.strip_prefix(BURN).and_then(|ms| ms.parse().ok()) {
        burn(Duration::from_millis(ms));
    }
    HELLO
}

/// Uses this much processor time of the thread, as a template, a hash or a large JSON does.
fn burn(time: Duration) {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let begun = used();
    while used().saturating_sub(begun) < time {
        std::hint::spin_loop();
    }
}
