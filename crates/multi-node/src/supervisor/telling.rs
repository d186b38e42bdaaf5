//! A happening as a line of the log that others follow.

use std::time::SystemTime;

use super::fleet::Happening;
use crate::log_buffer::{LogLine, Source};
use crate::status::unix_ms;

pub(super) fn line(happening: &Happening, now: SystemTime) -> LogLine {
    LogLine {
        at_ms: unix_ms(now),
        source: Source::Master,
        slot: happening.slot,
        id: happening.id.map(|id| id.to_string()),
        level: Some(happening.level.name().to_owned()),
        text: happening.text.clone(),
    }
}
