//! The last lines of the log, and its followers. A slow follower misses lines, and learns how many.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use super::line::{LogLine, Logged, Source};
use crate::id::{NodeId, Slot};

/// How many lines are kept, and how many bytes of text.
const MOST_LINES: usize = 4096;
const MOST_BYTES: usize = 1 << 20;

/// No more lines are given out at once.
const AT_ONCE: usize = 256;

/// Where lines are written. One that is not kept costs nothing.
#[derive(Clone, Debug, Default)]
pub struct LogBuffer(Option<watch::Sender<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    /// How many lines came before the first of `lines`.
    dropped: u64,
}

impl Pages {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(Arc::new(line));
        while self.lines.len() > MOST_LINES || self.bytes > MOST_BYTES {
            let Some(line) = self.lines.pop_front() else { return };
            self.bytes -= line.text.len();
            self.dropped += 1;
        }
    }

    fn end(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }
}

impl LogBuffer {
    /// One whose lines are kept.
    pub fn kept() -> LogBuffer {
        LogBuffer(Some(watch::Sender::default()))
    }

    /// This one, or one whose lines are kept.
    pub fn keep(self) -> LogBuffer {
        if self.0.is_some() { self } else { LogBuffer::kept() }
    }

    /// Writes a line, which is made only if it is kept.
    pub fn write(&self, line: impl FnOnce() -> LogLine) {
        if let Some(pages) = &self.0 {
            pages.send_modify(|pages| pages.push(line()));
        }
    }

    /// The last lines that a node has written there.
    pub fn last_of(&self, id: NodeId, source: Source, most: usize) -> Vec<String> {
        let Some(pages) = &self.0 else { return Vec::new() };
        let (pages, id) = (pages.borrow(), id.to_string());
        let is_wanted = |line: &&Arc<LogLine>| line.source == source && line.id.as_ref() == Some(&id);
        let written = pages.lines.iter().rev().filter(is_wanted).take(most).map(|line| line.text.clone());
        let mut written: Vec<String> = written.collect();
        written.reverse();
        written
    }

    /// Follows the lines of a slot, or all, from the last `lines` of them on.
    pub fn follow(&self, slot: Option<Slot>, lines: usize) -> Follower {
        let pages = self.0.as_ref().map_or_else(|| watch::Sender::default().subscribe(), watch::Sender::subscribe);
        let next = {
            let pages = pages.borrow();
            let wanted = |(_, line): &(usize, &Arc<LogLine>)| slot.is_none() || line.slot == slot;
            let first = pages.lines.iter().enumerate().rev().filter(wanted).take(lines).last();
            first.map_or(pages.end(), |(index, _)| pages.dropped + index as u64)
        };
        Follower { pages, slot, next }
    }
}

/// A follower's position in a log buffer.
#[derive(Debug)]
pub struct Follower {
    pages: watch::Receiver<Pages>,
    slot: Option<Slot>,
    /// The number of the line to be read next, counted from the first there ever was.
    next: u64,
}

impl Follower {
    /// What is there to be read now; `None`: nothing.
    pub fn read(&mut self) -> Option<Logged> {
        let pages = self.pages.borrow_and_update();
        let missed = pages.dropped.saturating_sub(self.next);
        self.next = self.next.max(pages.dropped);
        let mut lines = Vec::new();
        let unread = usize::try_from(self.next - pages.dropped).unwrap_or(usize::MAX);
        for line in pages.lines.iter().skip(unread) {
            if lines.len() == AT_ONCE {
                break;
            }
            self.next += 1;
            if self.slot.is_none() || line.slot == self.slot {
                lines.push(LogLine::clone(line));
            }
        }
        (missed > 0 || !lines.is_empty()).then_some(Logged { missed, lines })
    }

    /// Resolves when there is something to be read, or may be; `None` once nothing more will come. Cancel-safe.
    pub async fn changed(&mut self) -> Option<()> {
        if self.next < self.pages.borrow().end() {
            return Some(());
        }
        self.pages.changed().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn line(slot: u16, text: &str) -> LogLine {
        LogLine { at_ms: 0, source: Source::Master, slot: Some(Slot(slot)), id: None, level: None, text: text.into() }
    }

    fn texts(logged: Option<Logged>) -> (u64, Vec<String>) {
        let Logged { missed, lines } = logged.unwrap_or_default();
        (missed, lines.into_iter().map(|line| line.text).collect())
    }

    #[test]
    fn the_last_lines_are_read_and_then_those_that_come() {
        let log_buffer = LogBuffer::kept();
        ["a", "b", "c"].iter().for_each(|text| log_buffer.write(|| line(0, text)));
        let mut follower = log_buffer.follow(None, 2);
        assert_eq!(texts(follower.read()), (0, vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!(follower.read(), None);
        log_buffer.write(|| line(0, "d"));
        assert_eq!(texts(follower.read()), (0, vec!["d".to_owned()]));
        assert_eq!(log_buffer.follow(None, 0).read(), None);
    }

    #[test]
    fn a_node_has_the_last_lines_that_it_wrote_there() {
        let log_buffer = LogBuffer::default().keep();
        let write = |id, source, text: &str| {
            log_buffer
                .write(|| LogLine::of_node(SystemTime::UNIX_EPOCH, source, Some(Slot(0)), NodeId::node(id), text));
        };
        for (id, text) in [(1, "a"), (2, "b"), (1, "c"), (1, "d")] {
            write(id, Source::Stderr, text);
            write(id, Source::Stdout, "out");
        }
        log_buffer.write(|| line(0, "of the master"));
        assert_eq!(log_buffer.last_of(NodeId::node(1), Source::Stderr, 2), ["c", "d"]);
        assert_eq!(LogBuffer::default().last_of(NodeId::node(1), Source::Stderr, 2), [""; 0]);
    }

    #[test]
    fn a_slot_has_its_own_lines() {
        let log_buffer = LogBuffer::kept();
        for (slot, text) in [(1, "a"), (0, "b"), (1, "c"), (0, "d")] {
            log_buffer.write(|| line(slot, text));
        }
        let mut follower = log_buffer.follow(Some(Slot(1)), 1);
        assert_eq!(texts(follower.read()), (0, vec!["c".to_owned()]));
        assert_eq!(follower.read(), None, "the line of the other slot has been passed over");
    }

    #[test]
    fn what_was_dropped_is_counted() {
        let log_buffer = LogBuffer::kept();
        log_buffer.write(|| line(0, "first"));
        let mut follower = log_buffer.follow(None, 1);
        for _ in 0..MOST_LINES + 9 {
            log_buffer.write(|| line(0, "x"));
        }
        let logged = follower.read().expect("lines");
        assert_eq!((logged.missed, logged.lines.len()), (10, AT_ONCE));
    }

    #[test]
    fn long_lines_push_out_more() {
        let log_buffer = LogBuffer::kept();
        for _ in 0..100 {
            log_buffer.write(|| line(0, &"x".repeat(MOST_BYTES / 8)));
        }
        assert_eq!(log_buffer.follow(None, 100).read().expect("lines").lines.len(), 8);
    }

    #[tokio::test]
    async fn a_journal_that_is_not_kept_has_no_lines() {
        let log_buffer = LogBuffer::default();
        log_buffer.write(|| unreachable!("nobody reads it"));
        let mut follower = log_buffer.follow(None, 1);
        assert_eq!((follower.read(), follower.changed().await), (None, None));
    }
}
