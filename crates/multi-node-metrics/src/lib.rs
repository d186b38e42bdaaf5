//! Internal to multi-node, without semver promises: what programs measure, as series of each node, as values of all nodes together, and
//! as the text that Prometheus reads.
//!
//! Nothing here has a runtime, knows of the master or of HTTP, or logs: what is refused is returned.

mod aggregator;
mod delta_tracker;
mod exposition;
mod histogram;
mod metric;
#[cfg(feature = "facade")]
mod recorder;
mod series;

pub use aggregator::Aggregator;
pub use delta_tracker::DeltaTracker;
pub use exposition::{CONTENT_TYPE, Exposition};
pub use metric::{Meter, Refused};
pub use metric::{Metric, MetricError};
#[cfg(feature = "facade")]
pub use recorder::Registry;
pub use series::GaugeAggregation;
pub use series::{Kind, MOST_BOUNDS, Series, are_bounds};
