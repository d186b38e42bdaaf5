//! The library's log, by `tracing`; on standard error, where the program has no subscriber.
//!
//! A subscriber may panic: that of `tracing-subscriber` does if it cannot write to standard error, for example because its
//! reader is gone. Such a line is lost, but its writer must go on: a master, a node or a thread that ended here would
//! interrupt the service.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::stderr_log;
pub use crate::stderr_log::begin as show_without_subscriber;

/// Calls `tell`, which writes a log line, and survives its panic.
pub fn unharmed(tell: impl FnOnce()) {
    // Only the subscriber's state could be half changed, which is its own.
    let _ = catch_unwind(AssertUnwindSafe(|| stderr_log::where_there_is_no_other(tell)));
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
