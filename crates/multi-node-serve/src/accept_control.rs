//! Switches the accepting of connections on and off. The owner of the process decides when.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::stream::ConnTracker;

/// How often a process that serves shows the others' acceptors that its runtime is alive.
const PULSE: Duration = Duration::from_millis(500);

/// Ticks when a beat is due. To be made and used in a runtime.
pub fn pulse() -> Interval {
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}

/// The way in; clones are the same.
#[derive(Clone, Debug)]
pub struct AcceptControl(Arc<ConnTracker>);

impl AcceptControl {
    pub(super) fn new(tracker: Arc<ConnTracker>) -> AcceptControl {
        AcceptControl(tracker)
    }

    /// Takes no new connections for now; those that are open are served on.
    pub fn pause(&self) {
        if let Some(acceptor) = &self.0.acceptor {
            acceptor.pause();
        }
    }

    /// Takes connections from now on, where it began without; one that is on trial still is.
    pub fn open(&self) {
        if let Some(acceptor) = &self.0.acceptor {
            acceptor.open();
        }
    }

    /// Takes connections as any other process, also where it was on trial.
    pub fn resume(&self) {
        if let Some(acceptor) = &self.0.acceptor {
            acceptor.resume();
        }
    }

    /// Shows that the runtime is alive, and checks whether a connection waits that no process takes; due at each [`pulse`].
    /// If none waits, it wakes no process.
    pub fn beat(&self) {
        self.0.line.beat(self.0.now_ms());
        if let Some(acceptor) = &self.0.acceptor {
            acceptor.look_again();
        }
    }
}
