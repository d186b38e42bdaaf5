//! What programs measure themselves, as nodes tell it to their master: what has been added since they last told.

use serde::{Deserialize, Serialize};

/// One series of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) measured: Measured,
}

/// What was measured since the node last told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measured {
    /// So many more.
    Counter { more: u64 },
    /// The value now.
    Gauge { value: f64 },
    /// For each bucket so many more values, the last bucket being that of values above all bounds; and their sum.
    Histogram { buckets: Vec<u64>, sum: f64 },
}

/// The longest name with its labels, in bytes.
pub(crate) const LONGEST: usize = 1024;

/// The upper bounds of a histogram's buckets, in the unit of the values: those that Prometheus' clients have for seconds.
pub(crate) const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How one value is made of all nodes' values of a gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GaugeRule {
    /// Their sum: connections to a database, things in queues.
    #[default]
    Sum,
    /// The highest: an age, a lag.
    Max,
    /// The lowest.
    Min,
    /// Their mean: a share, a temperature.
    Mean,
}

impl GaugeRule {
    pub(super) fn of(self, values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let count = values.len() as f64;
        match self {
            GaugeRule::Sum => values.sum(),
            GaugeRule::Max => values.fold(f64::NEG_INFINITY, f64::max),
            GaugeRule::Min => values.fold(f64::INFINITY, f64::min),
            GaugeRule::Mean => values.sum::<f64>() / count,
        }
    }
}
