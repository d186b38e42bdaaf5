//! Internal to multi-node, without semver promises: the rules by which a master keeps its nodes, and the types of their input
//! and output. This crate has no runtime, calls no kernel and reads no clock: time is an argument.

pub mod command;
#[allow(missing_docs, reason = "a field whose name says all needs no line in an internal crate")]
pub mod fleet;
pub mod hash;
pub mod id;
#[allow(missing_docs, reason = "a field whose name says all needs no line in an internal crate")]
pub mod leases;
pub mod machines;
mod milliseconds;
mod restart;
pub mod status;

/// The number of reloads that may drain at a time, each an older generation.
pub const DRAINING_GENERATIONS: usize = 2;
