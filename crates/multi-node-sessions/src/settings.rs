//! How a database is kept, and its limits.

use std::time::Duration;

use crate::error::SessionError;

/// What survives: a process that is killed loses nothing in either mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Sessions are kept until the machine shuts down. Nothing waits for a disk. For a directory in memory (tmpfs); elsewhere the file of an
    /// earlier boot is removed when the database is opened.
    #[default]
    UntilShutdown,
    /// Sessions are kept on disk. A power cut costs the writes since the last checkpoint, usually of some seconds; what is older stays whole.
    Durable,
}

/// The settings of a database. Every process that opens it should give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What survives a shutdown. Default: [`Durability::UntilShutdown`].
    pub durability: Durability,
    /// How large the database may become, without its log. Where it is full, the sessions that expire soonest are removed. Default: 128 MiB; at
    /// least 256 KiB.
    pub max_bytes: u64,
    /// How large one session may be. Default: 1 MiB; at most 64 MiB.
    pub max_session_bytes: usize,
    /// How long a write, or opening, waits for other processes. Default: 2 s; at least 10 ms.
    pub busy_deadline: Duration,
    /// How many writes of this process may wait. Default: 4096; at least 1.
    pub max_queued_writes: usize,
    /// How often expired sessions are removed, by one process at a time. Default: 60 s; at least 10 ms.
    pub sweep_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            durability: Durability::default(),
            max_bytes: 128 << 20,
            max_session_bytes: 1 << 20,
            busy_deadline: Duration::from_secs(2),
            max_queued_writes: 4096,
            sweep_interval: Duration::from_secs(60),
        }
    }
}

/// How many bytes of sessions may wait in the queue of writes, as a multiple of the largest session.
const QUEUED_SESSIONS: usize = 64;

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SessionError> {
        let shortest = Duration::from_millis(10);
        require(self.max_bytes >= 256 << 10, "max_bytes", &self.max_bytes, "at least 262144 (256 KiB)")?;
        let size = self.max_session_bytes;
        require((1..=64 << 20).contains(&size), "max_session_bytes", &size, "1 to 67108864 (64 MiB)")?;
        require(self.busy_deadline >= shortest, "busy_deadline", &self.busy_deadline, "at least 10 ms")?;
        require(self.sweep_interval >= shortest, "sweep_interval", &self.sweep_interval, "at least 10 ms")?;
        require(self.max_queued_writes >= 1, "max_queued_writes", &self.max_queued_writes, "at least 1")
    }

    pub(crate) fn max_queued_bytes(&self) -> usize {
        self.max_session_bytes.saturating_mul(QUEUED_SESSIONS).min(256 << 20)
    }
}

fn require(
    holds: bool,
    setting: &'static str,
    value: &dyn std::fmt::Debug,
    allowed: &'static str,
) -> Result<(), SessionError> {
    if holds { Ok(()) } else { Err(SessionError::Setting { setting, value: format!("{value:?}"), allowed }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_allowed_is_named_with_its_value() {
        assert!(Settings::default().check().is_ok());
        let error = Settings { max_bytes: 1000, ..Settings::default() }.check().expect_err("refused");
        assert_eq!(error.to_string(), "setting `max_bytes`: 1000 is not allowed; at least 262144 (256 KiB)");
        assert!(Settings { max_session_bytes: 0, ..Settings::default() }.check().is_err());
        assert!(Settings { max_queued_writes: 0, ..Settings::default() }.check().is_err());
        assert!(Settings { busy_deadline: Duration::ZERO, ..Settings::default() }.check().is_err());
    }
}
