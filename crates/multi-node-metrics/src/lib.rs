//! Internal to multi-node, without semver promises: what programs measure, as series of each node, as values of all nodes together, and
//! as the text that Prometheus reads.
//!
//! Nothing here has a runtime, knows of the master or of HTTP, or logs: what is refused is returned.

mod application;
mod book;
mod exposition;
mod histogram;
mod metric;
#[cfg(feature = "facade")]
mod recorder;
mod series;

pub use application::Application;
pub use book::Book;
pub use exposition::{CONTENT_TYPE, Exposition};
pub use metric::{Meter, Refused};
pub use metric::{Metric, MetricError};
#[cfg(feature = "facade")]
pub use recorder::Registry;
pub use series::GaugeRule;
pub use series::{Kind, MOST_BOUNDS, Series, are_bounds};
