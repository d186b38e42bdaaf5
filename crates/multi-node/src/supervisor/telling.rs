//! A happening as a line of the log that others follow.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fleet::{Happening, Level};
use crate::log_buffer::{LogLine, Source};

impl Happening {
    pub(super) fn line(&self, now: SystemTime) -> LogLine {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        LogLine {
            at_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            source: Source::Master,
            slot: self.slot,
            id: self.id.map(|id| id.to_string()),
            level: Some(self.level.name().to_owned()),
            text: self.text.clone(),
        }
    }
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}
