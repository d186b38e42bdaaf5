//! Messages between workers and the primary process that wait to be written, bounded by their number and their size.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::channel::LONGEST;

/// How many messages may wait.
const MOST: usize = 65_536;

/// How large they may be together, in bytes: twice the longest message.
const ROOM: usize = 2 * LONGEST;

/// The writing end.
#[derive(Clone, Debug)]
pub(in crate::workload) struct Queue {
    messages: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// A message, which takes its room until it is written.
#[derive(Debug)]
pub(in crate::workload) struct Queued {
    pub(in crate::workload) line: Bytes,
    room: Option<OwnedSemaphorePermit>,
}

impl Queued {
    /// A message that was in no queue.
    pub(in crate::workload) fn unbounded(line: Bytes) -> Queued {
        Queued { line, room: None }
    }

    /// The message, and the permit to drop once it is written.
    pub(super) fn apart(self) -> (Bytes, Option<OwnedSemaphorePermit>) {
        (self.line, self.room)
    }
}

impl Queue {
    pub(in crate::workload) fn new() -> (Queue, mpsc::Receiver<Queued>) {
        Queue::with(MOST, ROOM)
    }

    fn with(most: usize, room: usize) -> (Queue, mpsc::Receiver<Queued>) {
        let (messages, queued) = mpsc::channel(most);
        (Queue { messages, room: Arc::new(Semaphore::new(room)) }, queued)
    }

    /// Whether there was room for it. A queue without a reader takes messages and drops them.
    pub(super) fn put(&self, line: Bytes) -> bool {
        let Ok(size) = u32::try_from(line.len()) else { return false };
        let Ok(room) = self.room.clone().try_acquire_many_owned(size) else { return false };
        !matches!(self.messages.try_send(Queued { line, room: Some(room) }), Err(mpsc::error::TrySendError::Full(_)))
    }
}

/// The number of dropped messages. It is logged at 1, 10, 100 and so on.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped(u64);

impl Dropped {
    /// One more. `Some`: log this number now.
    pub(super) fn one_more(&mut self) -> Option<u64> {
        self.0 += 1;
        let is_round = 10_u64.pow(self.0.ilog10()) == self.0;
        is_round.then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_bounded_by_number_and_by_size() {
        let line = |size: usize| Bytes::from(vec![b'x'; size]);
        let (queue, mut queued) = Queue::with(3, 10);
        assert!(queue.put(line(1)) && queue.put(line(1)) && queue.put(line(1)));
        assert!(!queue.put(line(1)), "three wait");
        assert_eq!(queued.try_recv().expect("a message").line.len(), 1);
        assert!(!queue.put(line(9)), "two bytes wait");
        assert!(queue.put(line(8)));
        drop(queued);
        assert!(queue.put(line(1)), "its reader is gone");
    }

    #[test]
    fn what_is_written_makes_room() {
        let (queue, mut queued) = Queue::with(3, 4);
        assert!(queue.put(Bytes::from_static(b"four")));
        let (line, room) = queued.try_recv().expect("a message").apart();
        assert!(line == "four" && !queue.put(line.clone()));
        drop(room);
        assert!(queue.put(line));
    }

    #[test]
    fn what_was_dropped_is_told_in_ever_larger_steps() {
        let mut dropped = Dropped::default();
        let told: Vec<u64> = (0..2500).filter_map(|_| dropped.one_more()).collect();
        assert_eq!(told, [1, 10, 100, 1000]);
    }
}
