//! A happening as a line of the log that others follow.

use std::time::SystemTime;

use super::fleet::Happening;
use crate::log_buffer::LogLine;

pub(super) fn line(happening: &Happening, now: SystemTime) -> LogLine {
    let Happening { slot, id, level, text, .. } = happening;
    LogLine::of_master(now, *slot, *id, level.name(), text)
}
