//! The master's HTTP server for monitoring: `/metrics`, `/healthz`, `/readyz` and `/status`.
//!
//! All values are exported per slot and in total. Slots stay while nodes come and go, so no counter goes backwards when a
//! node is replaced.

mod collector;
mod page;
mod server;
mod slot_counters;

pub(crate) use server::{Bound, MetricsServer};
