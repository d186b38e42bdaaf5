//! The library's log, by `tracing`.
//!
//! A subscriber may panic: that of `tracing-subscriber` does where standard error cannot be written to, as when whoever read
//! it has gone. Such a line is lost, and whoever wrote it goes on, since a master, a node or a thread that ended for it would
//! take the service with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is told, and nothing else for whoever tells it.
pub fn unharmed(tell: impl FnOnce()) {
    // Only the subscriber's state could be half changed, which is its own.
    let _ = catch_unwind(AssertUnwindSafe(tell));
}

#[doc(hidden)]
#[macro_export]
macro_rules! tell_error {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::error!($($event)+)) };
}
#[doc(hidden)]
#[macro_export]
macro_rules! tell_warn {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::warn!($($event)+)) };
}
#[doc(hidden)]
#[macro_export]
macro_rules! tell_info {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::info!($($event)+)) };
}
#[doc(hidden)]
#[macro_export]
macro_rules! tell_debug {
    ($($event:tt)+) => { $crate::log::unharmed(|| tracing::debug!($($event)+)) };
}

pub use crate::{tell_debug as debug, tell_error as error, tell_info as info, tell_warn as warn};
