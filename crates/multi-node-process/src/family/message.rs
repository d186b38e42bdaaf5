//! The messages of a master to its guard: one line of JSON each, through a pipe. Pure.
//!
//! The two may be of different releases, since the guard outlives an upgrade: unknown fields and lines are passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::token::ProcessId;
use crate::id::NodeId;

/// No line is longer, in bytes. The kernel writes so much at once or not at all (PIPE_BUF, pipe(7)), so no line is ever half
/// written, not even by a master that dies.
pub(super) const LONGEST: usize = 4096;

/// A node, as its guard knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// The process that was started, which leads a process group.
    pub leader: ProcessId,
    /// The process that counts.
    pub main: ProcessId,
    /// The signal by which the program finishes.
    pub stop_signal: i32,
    /// How long it has for that, in milliseconds.
    pub within_ms: u64,
}

impl Family {
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.within_ms)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToGuard {
    /// This node lives, or another process of it counts now.
    Node { id: NodeId, family: Family },
    /// It has ended, with all its processes.
    Gone { id: NodeId },
    /// The program has ended in an orderly way: there is nothing to guard.
    Leave,
}

impl ToGuard {
    /// The next message to a guard that knows of `told`, so that it learns of `now`.
    pub fn next(told: &BTreeMap<NodeId, Family>, now: &BTreeMap<NodeId, Family>) -> Option<ToGuard> {
        let gone = told.keys().find(|id| !now.contains_key(id)).map(|id| ToGuard::Gone { id: *id });
        let news = || now.iter().find(|(id, family)| told.get(id) != Some(family));
        gone.or_else(|| news().map(|(id, family)| ToGuard::Node { id: *id, family: *family }))
    }

    /// Changes what is known.
    pub fn apply(self, families: &mut BTreeMap<NodeId, Family>) {
        match self {
            ToGuard::Node { id, family } => families.extend([(id, family)]),
            ToGuard::Gone { id } => families.retain(|known, _| *known != id),
            ToGuard::Leave => {}
        }
    }

    pub fn line(self) -> Vec<u8> {
        let mut line = serde_json::to_vec(&self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Lines as they arrive, in whatever pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    /// Whether the rest of a line that is too long is passed over.
    skips: bool,
}

impl Lines {
    /// The messages that these bytes complete.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<ToGuard> {
        let mut messages = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.begun.len() + piece.len() > LONGEST {
                self.begun.clear();
                self.skips = true;
            }
            if !self.skips {
                self.begun.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                messages.extend(serde_json::from_slice::<ToGuard>(&self.begun).ok());
                self.begun.clear();
                self.skips = false;
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u64) -> ToGuard {
        let process = ProcessId { pid: u32::MAX, start: u64::MAX };
        let family = Family { leader: process, main: process, stop_signal: 15, within_ms: u64::MAX };
        ToGuard::Node { id: NodeId::node(number), family }
    }

    #[test]
    fn lines_are_read_in_whatever_pieces_they_come() {
        let all = [node(1), ToGuard::Gone { id: NodeId::node(1) }, node(u64::MAX >> 1), ToGuard::Leave];
        let bytes: Vec<u8> = all.iter().flat_map(|message| message.line()).collect();
        assert!(all.iter().all(|message| message.line().len() < LONGEST / 8));
        for size in 1..=bytes.len() {
            let mut lines = Lines::default();
            let read: Vec<ToGuard> = bytes.chunks(size).flat_map(|piece| lines.read(piece)).collect();
            assert_eq!(read, all, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_unknown_torn_or_too_long_is_passed_over() {
        let mut lines = Lines::default();
        let newer = br#"{"node":{"id":1,"family":{"leader":{"pid":1,"start":2,"x":0},"main":{"pid":1,"start":2},"stop_signal":15,"within_ms":9,"later":[]}}}"#;
        let bytes = [b"{\"later\":1}\n\n{\"node\":\n\xff\n", &newer[..], b"\n", &[b'a'; 3 * LONGEST], b"\n"].concat();
        let read = lines.read(&bytes);
        assert!(matches!(read[..], [ToGuard::Node { .. }]), "{read:?}");
        assert_eq!(lines.read(&ToGuard::Leave.line()), [ToGuard::Leave]);
        // One that never ends takes no more memory than any other.
        (0..1000).for_each(|_| assert_eq!(lines.read(&[b'a'; 1000]), []));
        assert!(lines.begun.len() <= LONGEST);
    }

    #[test]
    fn a_guard_is_told_what_has_changed_and_nothing_else() {
        let (mut told, mut now) = (BTreeMap::new(), BTreeMap::new());
        node(1).apply(&mut told);
        node(2).apply(&mut now);
        assert_eq!(ToGuard::next(&told, &now), Some(ToGuard::Gone { id: NodeId::node(1) }));
        while let Some(message) = ToGuard::next(&told, &now) {
            message.apply(&mut told);
        }
        assert_eq!(told, now);
    }
}
