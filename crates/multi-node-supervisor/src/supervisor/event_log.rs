//! A happening as a line of the log that others follow.

use std::time::SystemTime;

use super::fleet::LogEvent;
use crate::log_buffer::LogLine;

pub(super) fn line(event: &LogEvent, now: SystemTime) -> LogLine {
    let LogEvent { slot, id, level, text, .. } = event;
    LogLine::of_master(now, *slot, *id, level.name(), text)
}
