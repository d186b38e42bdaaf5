//! The log of a program that has no subscriber of `tracing`: lines on standard error.

use std::fmt::{Debug, Write as _};
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::dispatcher::{self, Dispatch};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::{NoSubscriber, Subscriber};
use tracing::{Event, Level, Metadata};

/// A pipe takes so much at once, if it takes anything (pipe(7)).
const LONGEST_LINE: usize = 4096;

/// What every target of the library begins with.
const TARGETS: &str = "multi_node";

static LOG: OnceLock<Dispatch> = OnceLock::new();

/// From now on the library's lines go to standard error as long as the program has no subscriber. It stays free to set one.
pub fn begin() {
    LOG.get_or_init(|| Dispatch::new(StderrLog::default()));
}

/// Calls `tell`, which writes a log line, with this log if there is no other.
pub(crate) fn where_there_is_no_other(tell: impl FnOnce()) {
    match LOG.get().filter(|_| dispatcher::get_default(Dispatch::is::<NoSubscriber>)) {
        Some(log) => dispatcher::with_default(log, tell),
        None => tell(),
    }
}

#[derive(Default)]
struct StderrLog {
    /// Lines that standard error did not take.
    left_out: AtomicU64,
}

impl StderrLog {
    /// Writes the line if that does not wait: the reader of standard error must not stop the master.
    fn write(&self, line: &str) {
        if !is_writable() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let left_out = match self.left_out.swap(0, Ordering::Relaxed) {
            0 => String::new(),
            lines => format!("multi-node: {lines} lines were left out, since standard error took none\n"),
        };
        // If its reader has gone, the lines are lost, as those of any log would be.
        let _ = io::stderr().write_all(format!("{left_out}{line}").as_bytes());
    }
}

impl Subscriber for StderrLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with(TARGETS)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.write(&text.line(*event.metadata().level(), SystemTime::now()));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// An event's message, and its other fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A text in memory takes everything.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl Text {
    fn line(&self, level: Level, now: SystemTime) -> String {
        let Text { message, fields } = self;
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let mut line = format!("multi-node {hour:02}:{minute:02}:{second:02}Z {level:>5} {message} {fields}");
        let line_break = |c: char| c.is_control();
        line = line.replace(line_break, " ").trim_end().to_owned();
        line.truncate((0..LONGEST_LINE).rev().find(|&at| line.is_char_boundary(at)).unwrap_or_default());
        line + "\n"
    }
}

/// Whether standard error takes a line without waiting.
#[cfg(target_os = "linux")]
fn is_writable() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stderr = io::stderr();
    let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready == 1) && polled[0].revents().contains(PollFlags::OUT)
}

#[cfg(not(target_os = "linux"))]
fn is_writable() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_has_its_time_its_level_and_its_fields() {
        let text = Text { message: "ready after 3 ms".to_owned(), fields: " slot=2 id=node-7\n".to_owned() };
        let line = text.line(Level::INFO, UNIX_EPOCH + Duration::from_secs(86_400 + 3661));
        assert_eq!(line, "multi-node 01:01:01Z  INFO ready after 3 ms  slot=2 id=node-7\n");
        let long = Text { message: "é".repeat(LONGEST_LINE), fields: String::new() };
        assert!(long.line(Level::WARN, UNIX_EPOCH).len() <= LONGEST_LINE);
    }

    #[test]
    fn only_lines_of_the_library_that_people_need_are_taken() {
        let log = Dispatch::new(StderrLog::default());
        dispatcher::with_default(&log, || {
            assert!(tracing::event_enabled!(target: "multi_node", Level::INFO));
            assert!(!tracing::event_enabled!(target: "multi_node", Level::DEBUG));
            assert!(!tracing::event_enabled!(target: "hyper", Level::ERROR));
        });
    }
}
