//! The last lines of the log, kept for those who ask from outside, and whose output waits.

mod buffer;
mod held;
mod line;

pub use buffer::{Follower, LogBuffer};
pub use held::Held;
pub use held::HeldOutput;
pub use line::{LogLine, Logged, Source};
