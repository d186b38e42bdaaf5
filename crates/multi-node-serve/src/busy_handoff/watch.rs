//! Whether the runtime computes while events wait for it, as another thread sees it.

use std::sync::Arc;

use multi_node_sys::epoll::{Epoll, is_readable};
use multi_node_sys::runtime::own_epoll;

use super::BusyHandoff;

/// Looks at a runtime of one thread, for another thread.
///
/// The runtime's epoll instance can be read from while it has events that the runtime has not taken. A runtime that has events at two looks
/// and has begun and ended no request between them is late: it computes, waits for something else, or its thread waits for a processor.
#[derive(Debug)]
pub struct RuntimeWatch {
    handoff: Arc<BusyHandoff>,
    epoll: Epoll,
    waited: bool,
    requests: u64,
}

/// How the runtime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has nothing to do, and has had no request since the last look.
    Idle,
    /// It has gone on since the last look, as far as can be seen.
    Runs,
    /// Events wait. The next look shows whether it is late.
    Waits,
    /// Events have waited since the last look.
    Late,
}

impl RuntimeWatch {
    pub(super) fn of_runtime(handoff: Arc<BusyHandoff>) -> Option<RuntimeWatch> {
        let epoll = own_epoll().ok()??;
        Some(RuntimeWatch { handoff, epoll, waited: false, requests: 0 })
    }

    /// Looks once more. Others see a late runtime in the load table, and offer it nothing.
    pub fn look(&mut self) -> Seen {
        let waits = is_readable(self.epoll.file());
        let requests = self.handoff.line.request_steps();
        let moved = std::mem::replace(&mut self.requests, requests) != requests;
        let waited = std::mem::replace(&mut self.waited, waits);
        self.handoff.set_late(waits && waited && !moved);
        match (waits, waited, moved) {
            (true, true, false) => Seen::Late,
            (true, ..) => Seen::Waits,
            (false, false, false) => Seen::Idle,
            (false, ..) => Seen::Runs,
        }
    }
}
