//! Whether a process that serves takes connections, for whoever decides that from outside.

use std::sync::Arc;

use super::stream::Doors;

/// The way in; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Entrance(Arc<Doors>);

impl Entrance {
    pub(super) fn new(doors: Arc<Doors>) -> Entrance {
        Entrance(doors)
    }

    /// Takes no new connections for now; those that are open are served on.
    pub(crate) fn pause(&self) {
        if let Some(acceptor) = &self.0.acceptor {
            acceptor.pause();
        }
    }

    /// Takes connections as any other process, also where it was on trial.
    pub(crate) fn resume(&self) {
        if let Some(acceptor) = &self.0.acceptor {
            acceptor.resume();
        }
    }

    /// Looks whether a connection waits that nobody takes; due twice a second. Where none waits it wakes nobody.
    pub(crate) fn look_again(&self) {
        if let Some(acceptor) = &self.0.acceptor {
            acceptor.look_again();
        }
    }
}
