//! What monitoring asks of a program, served by the master over HTTP: `/metrics`, `/healthz`, `/readyz` and `/status`.
//!
//! Everything is told per slot and in total. Slots stay while nodes come and go, so no counter goes backwards when a node
//! is replaced.

mod application;
#[cfg(multi_process)]
mod book;
mod collector;
mod exposition;
mod histogram;
mod ledger;
mod metric;
mod page;
#[cfg(all(feature = "metrics", multi_process))]
mod recorder;
mod series;
mod server;

#[cfg(multi_process)]
pub(crate) use book::Book;
pub(crate) use collector::Told;
pub(crate) use metric::Meter;
pub use metric::{Metric, MetricError};
#[cfg(all(feature = "metrics", multi_process))]
pub(crate) use recorder::Registry;
pub use series::GaugeRule;
pub(crate) use series::{MOST_BOUNDS, Series, are_bounds};
pub(crate) use server::{Bound, MetricsServer};
