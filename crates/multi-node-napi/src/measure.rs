//! What JavaScript measures, on its way to the library.

use multi_node::options::{GaugeAggregation, Metric};
use napi_derive::napi;

/// One series as it is now.
#[napi(object, object_to_js = false)]
pub struct Sample {
    pub name: String,
    pub help: Option<String>,
    /// `counter`, `gauge`, `histogram` or `summary`.
    pub kind: String,
    /// Of a gauge, how all nodes' values are made one.
    pub rule: Option<String>,
    /// Pairs of a name and a value.
    pub labels: Vec<Vec<String>>,
    /// Of histograms and summaries, the sum.
    pub value: f64,
    pub count: Option<f64>,
    /// The upper bounds of buckets, and how many values are not above each.
    pub bounds: Option<Vec<f64>>,
    pub below: Option<Vec<f64>>,
}

impl From<Sample> for Metric {
    fn from(sample: Sample) -> Metric {
        let Sample { name, help, kind, rule, labels, value, count, bounds, below } = sample;
        // Whole numbers, as far as they are counts.
        let count = count.unwrap_or_default() as u64;
        let metric = match kind.as_str() {
            "counter" => Metric::counter(name, value),
            "histogram" => {
                let below = below.unwrap_or_default().into_iter().map(|below| below as u64);
                Metric::histogram(name, bounds.unwrap_or_default().into_iter().zip(below), count, value)
            }
            "summary" => Metric::summary(name, count, value),
            _ => Metric::gauge(name, value),
        };
        let metric = rule.as_deref().map(rule_of).into_iter().fold(metric, Metric::rule);
        let metric = help.as_deref().into_iter().fold(metric, Metric::help);
        labels.into_iter().fold(metric, |metric, label| match <[String; 2]>::try_from(label) {
            Ok([name, value]) => metric.label(name, value),
            Err(_) => metric,
        })
    }
}

/// JavaScript knows no other names.
pub(crate) fn rule_of(name: &str) -> GaugeAggregation {
    match name {
        "max" => GaugeAggregation::Max,
        "min" => GaugeAggregation::Min,
        "mean" | "average" => GaugeAggregation::Mean,
        "first" => GaugeAggregation::First,
        "omit" => GaugeAggregation::Omit,
        _ => GaugeAggregation::Sum,
    }
}
