//! One peer and its link.

use std::sync::Arc;
use std::time::Duration;

use multi_node_fleet::id::{NodeId, Slot};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::limits::BusLimits;
use crate::link::{LinkError, Outbox};

/// A peer as the bus sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerStatus {
    /// Which process.
    pub id: NodeId,
    /// The slot that it fills.
    pub slot: Option<Slot>,
    /// Whether it takes part in the bus.
    pub speaks_bus: bool,
    /// Whether its link is open.
    pub linked: bool,
    /// The highest epoch of its links, 0 before the first.
    pub epoch: u64,
    /// Why its last link ended.
    pub last_error: Option<LinkError>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) slot: Option<Slot>,
    pub(super) speaks_bus: bool,
    pub(super) link: Link,
    /// The highest epoch so far.
    pub(super) epoch: u64,
    /// How many links ended soon after they were made.
    failures: u32,
    incarnation: Option<u64>,
    pub(super) last_error: Option<LinkError>,
}

#[derive(Debug)]
pub(super) enum Link {
    Unused,
    /// A task asks the owner for a link until there is one.
    Wanted(AbortHandle),
    Attached(Attachment),
}

#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) outbox: Arc<Outbox>,
    /// The peer has said hello.
    pub(super) open: bool,
    pub(super) since: Instant,
    /// Ends when the link's reader has ended.
    pub(super) over: watch::Receiver<()>,
}

impl Member {
    pub(super) fn new(slot: Option<Slot>, speaks_bus: bool) -> Member {
        let (link, epoch, failures, incarnation, last_error) = (Link::Unused, 0, 0, None, None);
        Member { slot, speaks_bus, link, epoch, failures, incarnation, last_error }
    }

    pub(super) fn status(&self, id: NodeId) -> PeerStatus {
        PeerStatus {
            id,
            slot: self.slot,
            speaks_bus: self.speaks_bus,
            linked: self.open().is_some(),
            epoch: self.epoch,
            last_error: self.last_error.clone(),
        }
    }

    pub(super) fn open(&self) -> Option<&Arc<Outbox>> {
        match &self.link {
            Link::Attached(attachment) if attachment.open => Some(&attachment.outbox),
            _ => None,
        }
    }

    /// The attachment of this epoch, if it is still the present one.
    pub(super) fn attachment(&mut self, epoch: u64) -> Option<&mut Attachment> {
        match &mut self.link {
            Link::Attached(attachment) if attachment.outbox.epoch == epoch => Some(attachment),
            _ => None,
        }
    }

    /// Whether the process begins its sequences anew since its last hello.
    pub(super) fn began_anew(&mut self, incarnation: u64) -> bool {
        self.incarnation.replace(incarnation).is_some_and(|earlier| earlier != incarnation)
    }

    /// How long to wait before a link is wanted: not at all for the first, longer after links that ended soon.
    pub(super) fn pause(&self, limits: &BusLimits) -> Duration {
        if self.epoch == 0 {
            return Duration::ZERO;
        }
        limits.link_backoff.saturating_mul(1 << self.failures.min(16)).min(limits.link_timeout)
    }

    pub(super) fn ended(&mut self, error: LinkError, lived: Duration, limits: &BusLimits) {
        self.failures = if lived < limits.link_timeout { self.failures.saturating_add(1) } else { 0 };
        self.last_error = Some(error);
        self.link = Link::Unused;
    }
}
