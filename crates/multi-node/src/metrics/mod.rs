//! What monitoring asks of a program, served by the master over HTTP: `/metrics`, `/healthz`, `/readyz` and `/status`.
//!
//! Everything is told per slot and in total. Slots stay while nodes come and go, so no counter goes backwards when a node
//! is replaced.

mod application;
mod collector;
mod exposition;
mod ledger;
mod page;
#[cfg(all(feature = "metrics", multi_process))]
mod recorder;
mod series;
mod server;

pub(crate) use collector::Told;
#[cfg(all(feature = "metrics", multi_process))]
pub(crate) use recorder::Registry;
pub use series::GaugeRule;
pub(crate) use series::Series;
pub(crate) use server::{Bound, MetricsServer};
