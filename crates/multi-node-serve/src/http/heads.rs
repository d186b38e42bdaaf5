//! Looks at the head of a connection's next request before hyper reads it: does another process own that request?

use super::progress::Progress;
use crate::conn_info::ConnInfo;
use crate::owners::{Owners, Whose};

/// What looks at the heads of one connection.
pub(super) struct Heads {
    owners: Owners,
    info: ConnInfo,
    /// After this number of requests the next one is answered here.
    settled: Option<u64>,
}

impl Heads {
    /// `answers_first`: the first request is answered here, although another process may own it.
    pub(super) fn new(owners: &Owners, info: ConnInfo, answers_first: bool) -> Box<Heads> {
        Box::new(Heads { owners: owners.clone(), info, settled: answers_first.then_some(0) })
    }

    /// Whether the next bytes are a head that was not looked at.
    pub(super) fn is_due(&self, progress: &Progress) -> bool {
        self.settled != Some(progress.calls()) && progress.awaits_next_head()
    }

    /// The next request is answered here, unless its connection is taken from hyper before.
    pub(super) fn settle(&mut self, progress: &Progress) {
        self.settled = Some(progress.calls());
    }

    /// Who answers the request that begins with these bytes.
    pub(super) fn whose(&self, head: &[u8]) -> Whose {
        self.owners.whose(head, &self.info)
    }
}
