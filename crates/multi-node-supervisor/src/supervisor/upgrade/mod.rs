//! Upgrade in place: the master's process runs another program, which goes on where the old one left off.
//!
//! [`depart`] is the side of the old program, [`call`] and [`arrive`] are that of the new one. Between them goes a [`state`], by a
//! [`courier`]: a socketpair of which the new program has one end as its standard input. It carries descriptors, so that
//! none has to be found by its number. A [`rehearsal`] is the same in a child, which only says whether it could go on.

mod arrive;
mod call;
mod courier;
mod depart;
mod lenient;
mod packing;
mod rehearsal;
mod state;
#[cfg(test)]
mod transcript_tests;

pub use call::Call;
pub(crate) use call::{Estate, Heritage};
pub(crate) use rehearsal::{Rehearsal, rehearsed};
pub(super) use state::{Arrived, Luggage, Passed};
