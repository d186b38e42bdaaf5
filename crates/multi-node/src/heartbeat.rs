//! The pulse of an event loop that is not tokio's.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// The pulse of a program's own event loop; clones are the same pulse.
///
/// Given to [`Options::heartbeat`](crate::Options::heartbeat), a node counts as alive only as far as something calls
/// [`beat`](Heartbeat::beat), from that loop and at least twice a second: others take its connections when it falls silent, and
/// after [`hang_timeout`](crate::Options::hang_timeout) it is replaced.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<AtomicBool>);

impl Heartbeat {
    /// A pulse that has not beaten yet.
    pub fn new() -> Heartbeat {
        Heartbeat::default()
    }

    /// Says that the event loop runs.
    pub fn beat(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it has beaten since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}
