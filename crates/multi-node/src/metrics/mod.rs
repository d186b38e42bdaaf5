//! What the program itself measures: series, how nodes' values become one, and the text that Prometheus reads. Nothing here
//! knows of the master or of HTTP.

mod application;
#[cfg(multi_process)]
mod book;
mod exposition;
mod histogram;
mod metric;
#[cfg(all(feature = "metrics", multi_process))]
mod recorder;
mod series;

pub(crate) use application::Application;
#[cfg(multi_process)]
pub(crate) use book::Book;
pub(crate) use exposition::{CONTENT_TYPE, Exposition};
pub(crate) use metric::{Meter, Refused};
pub use metric::{Metric, MetricError};
#[cfg(all(feature = "metrics", multi_process))]
pub(crate) use recorder::Registry;
pub use series::GaugeRule;
pub(crate) use series::{Kind, MOST_BOUNDS, Series, are_bounds};
