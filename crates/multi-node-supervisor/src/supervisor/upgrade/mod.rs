//! Upgrade in place: the master's process runs another program, which continues where the old one left off.
//!
//! [`exec`] is the side of the old program; [`request`] and [`resume`] are that of the new one. Between them goes a [`state`],
//! through a [`courier`]: a socketpair, one end of which is the new program's standard input. It carries descriptors, so none
//! has to be found by its number. A [`preflight`] is the same in a child process, which only reports whether it could continue.

mod courier;
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
