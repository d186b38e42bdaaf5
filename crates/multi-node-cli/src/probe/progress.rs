//! What a terminal shows during a run.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use multi_node_probe::Tally;
use tokio::time::{MissedTickBehavior, interval};

use crate::show;

/// How often the line is rewritten.
const EVERY: Duration = Duration::from_millis(200);
/// To the line's beginning, and away with what stands there (ECMA-48).
const ANEW: &str = "\r\x1b[K";

/// A line on standard error, where that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress { is_shown: io::stderr().is_terminal() }
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        self.write(&format!("{line}\n"));
    }

    /// Shows the progress of a phase until `done` resolves; `done` must not write to the terminal itself.
    pub(crate) async fn while_doing<T>(&self, tally: &Tally, phase: &'static str, done: impl Future<Output = T>) -> T {
        let (mut done, begun) = (std::pin::pin!(done), Instant::now());
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                value = &mut done => {
                    self.write(&format!("{ANEW}{}\n", line(tally, phase, begun)));
                    return value;
                }
                _ = ticks.tick() => self.write(&format!("{ANEW}{}", line(tally, phase, begun))),
            }
        }
    }

    fn write(&self, text: &str) {
        if self.is_shown {
            // It is lost if nothing reads standard error.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }
}

fn line(tally: &Tally, phase: &'static str, begun: Instant) -> String {
    let counts = tally.sum(|of, _| of == phase);
    let took = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    format!("{phase:<8} {}: {} answered, {} lost", show::span(took), counts.answered, counts.all_lost())
}
