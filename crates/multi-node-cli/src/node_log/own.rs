//! This command's own log lines. The supervisor never waits for their reader. When the buffer is full, lines are left out and counted;
//! the count is written when there is room again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tokio::sync::Semaphore;

use super::writer::Writer;

/// What may wait to be written, in bytes.
const BUFFER: usize = 256 * 1024;

/// Takes one line in each call of `write`, as `tracing_subscriber` gives them.
#[derive(Clone, Debug)]
pub(crate) struct OwnLog {
    writer: Writer,
    room: Arc<Semaphore>,
    /// Lines left out since the last that was kept.
    missed: Arc<AtomicU64>,
    json: bool,
}

impl OwnLog {
    pub(crate) fn new(writer: Writer, json: bool) -> OwnLog {
        OwnLog { writer, room: Arc::new(Semaphore::new(BUFFER)), missed: Arc::default(), json }
    }

    /// Whether there was room for it.
    fn keep(&self, line: &[u8]) -> bool {
        let needed = u32::try_from(line.len().min(BUFFER)).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(needed);
        room.map(|room| self.writer.write(line.to_vec(), room)).is_ok()
    }

    /// Whether the reader knows of all lines that were left out.
    fn gap_is_told(&self) -> bool {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let is_told = missed == 0 || self.keep(&gap(missed, self.json));
        if !is_told {
            self.missed.fetch_add(missed, Ordering::Relaxed);
        }
        is_told
    }
}

impl Write for OwnLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !(self.gap_is_told() && self.keep(line)) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands for lines that were left out.
fn gap(missed: u64, json: bool) -> Vec<u8> {
    let text = "log lines were left out: they came faster than standard error took them";
    let line = match json {
        true => json!({ "level": "WARN", "message": text, "missed": missed }).to_string(),
        false => format!("[{missed} {text}]"),
    };
    (line + "\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_waits_costs_lines_and_no_time() {
        let (mut reader, pipe) = io::pipe().expect("a pipe");
        let writer = Writer::start(&pipe).expect("a thread");
        drop(pipe);
        let mut log = OwnLog::new(writer.clone(), false);
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        let lines = 2 * BUFFER / line.len();
        for _ in 0..lines {
            log.write_all(&line).expect("it takes all");
        }
        let read = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        writer.flushed().await;
        log.write_all(b"the last\n").expect("it takes all");
        drop((log, writer));
        let text = read.join().expect("no panic").expect("readable");
        let missed = |line: &str| line.strip_prefix('[')?.split_once(" log lines")?.0.parse::<usize>().ok();
        let left_out: usize = text.lines().filter_map(missed).sum();
        let kept = text.lines().filter(|line| line.starts_with('x')).count();
        assert_eq!((left_out + kept, text.lines().last()), (lines, Some("the last")), "each line is kept or counted");
        assert!(left_out > 0, "what is kept is bounded");
    }

    #[test]
    fn a_gap_is_a_line_in_both_forms() {
        assert!(gap(3, false).starts_with(b"[3 log lines were left out"));
        assert!(serde_json::from_slice::<serde_json::Value>(&gap(3, true)).is_ok_and(|line| line["missed"] == 3));
    }
}
