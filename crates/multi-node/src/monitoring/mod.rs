//! What monitoring asks of a program, served by the master over HTTP: `/metrics`, `/healthz`, `/readyz` and `/status`.
//!
//! Everything is told per slot and in total. Slots stay while nodes come and go, so no counter goes backwards when a node
//! is replaced.

mod collector;
mod page;
mod server;
mod slot_counters;

pub(crate) use server::{Bound, MetricsServer};
