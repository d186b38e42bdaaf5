//! The master.

mod child;
mod fleet;
mod lead;
mod member;
mod members;
mod reaper;
mod restart;
mod run;

pub(crate) use lead::lead;
