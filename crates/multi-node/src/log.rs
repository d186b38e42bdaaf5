//! The library's log, by `tracing`.
//!
//! A subscriber may panic: that of `tracing-subscriber` does where standard error cannot be written to, as when whoever read
//! it has gone. Such a line is lost, and whoever wrote it goes on, since a master, a node or a thread that ended for it would
//! take the service with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is told, and nothing else for whoever tells it.
pub(crate) fn unharmed(tell: impl FnOnce()) {
    // Only the subscriber's state could be half changed, which is its own.
    let _ = catch_unwind(AssertUnwindSafe(tell));
}

#[cfg(multi_process)]
macro_rules! tell_error {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::error!($($event)+)) };
}
macro_rules! tell_warn {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::warn!($($event)+)) };
}
macro_rules! tell_info {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::info!($($event)+)) };
}
macro_rules! tell_debug {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::debug!($($event)+)) };
}

#[cfg(multi_process)]
pub(crate) use tell_error as error;
pub(crate) use {tell_debug as debug, tell_info as info, tell_warn as warn};
