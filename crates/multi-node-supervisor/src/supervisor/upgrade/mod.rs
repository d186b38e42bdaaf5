//! Upgrade in place: the master's process runs another program, which goes on where the old one left off.
//!
//! [`exec`] is the side of the old program, [`call`] and [`resume`] are that of the new one. Between them goes a [`state`], by a
//! [`courier`]: a socketpair of which the new program has one end as its standard input. It carries descriptors, so that
//! none has to be found by its number. A [`preflight`] is the same in a child, which only says whether it could go on.

mod courier;
mod encoding;
mod exec;
mod lenient;
mod preflight;
mod request;
mod resume;
mod state;
#[cfg(test)]
mod transcript_tests;

pub(crate) use preflight::{Preflight, preflighted};
pub use request::UpgradeRequest;
pub(crate) use request::{InheritedLoop, LeftState};
pub(super) use state::{FdIndex, ReceivedFds, SentFds};
