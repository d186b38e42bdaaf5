//! How much may be in flight: requests and their bytes, behind one count.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each request takes one part, and one more for each of these bytes.
const PART: usize = 64 << 10;

/// So at most 1024 requests, or about 64 MiB, are in flight.
const PARTS: usize = 1024;

/// Room for requests of one direction.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Room {
        Room(Arc::new(Semaphore::new(PARTS)))
    }

    /// Takes the room for a request of this length, if there is some.
    pub(super) fn take(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        let parts = u32::try_from(1 + length / PART).ok()?;
        self.0.clone().try_acquire_many_owned(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_their_bytes_are_bounded() {
        let room = Room::new();
        let large: Vec<_> = std::iter::from_fn(|| room.take(1 << 20)).collect();
        assert_eq!(large.len(), 60);
        let small: Vec<_> = std::iter::from_fn(|| room.take(10)).collect();
        assert_eq!(small.len(), PARTS - 60 * 17);
        drop(large);
        assert!(room.take(1 << 20).is_some());
        assert!(room.take(usize::MAX).is_none());
    }
}
