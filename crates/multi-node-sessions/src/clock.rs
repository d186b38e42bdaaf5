//! The time of day. Expiry uses it, since a session outlives the process, and may outlive a reboot.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. Sessions expire at such times.
pub fn unix_millis() -> i64 {
    // A clock before 1970 is one that is not set; nothing has expired then.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
