//! What a program measures by means of its own, as it hands it to the library.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::series::{self, GaugeAggregation, Kind, LONGEST, Labels};

/// One series of a metric as it is now, for `Options::metrics_source`.
///
/// ```
/// # mod multi_node { pub use multi_node_metrics as options; }
/// use multi_node::options::{GaugeAggregation, Metric};
///
/// Metric::counter("bytes_sent_total", 1.5e6).help("What clients were sent.").label("site", "shop");
/// Metric::gauge("oldest_job_seconds", 3.5).rule(GaugeAggregation::Max);
/// // The counts of values up to 0.1, up to 1, and in all.
/// Metric::histogram("job_seconds", [(0.1, 4), (1.0, 6)], 7, 12.5);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) help: Option<String>,
    pub(super) reading: Reading,
}

/// What a series shows now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    Counter(f64),
    Gauge(f64, Option<GaugeAggregation>),
    /// Values in each bucket, the last being that above all bounds.
    Histogram {
        bounds: Arc<[f64]>,
        counts: Vec<u64>,
        sum: f64,
    },
    Summary {
        count: u64,
        sum: f64,
    },
}

impl Metric {
    /// A value that only grows. A value below the last one means that the counter has started again from 0.
    pub fn counter(name: impl Into<String>, value: f64) -> Metric {
        Metric::new(name, Reading::Counter(value))
    }

    /// What goes up and down; see [`rule`](Metric::rule).
    pub fn gauge(name: impl Into<String>, value: f64) -> Metric {
        Metric::new(name, Reading::Gauge(value, None))
    }

    /// How many values were at most as high as each of the bounds, which ascend; how many there were in all, and their sum.
    pub fn histogram(
        name: impl Into<String>,
        buckets: impl IntoIterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) -> Metric {
        let (bounds, below): (Vec<f64>, Vec<u64>) =
            buckets.into_iter().filter(|(bound, _)| *bound != f64::INFINITY).unzip();
        let mut last = 0;
        let each = below.into_iter().chain([count]).map(|below| below.checked_sub(std::mem::replace(&mut last, below)));
        // Without counts it is refused.
        let counts = each.collect::<Option<_>>().unwrap_or_default();
        Metric::new(name, Reading::Histogram { bounds: bounds.into(), counts, sum })
    }

    /// How many values there were, and their sum. Quantiles of several nodes cannot be made one.
    pub fn summary(name: impl Into<String>, count: u64, sum: f64) -> Metric {
        Metric::new(name, Reading::Summary { count, sum })
    }

    pub(super) fn new(name: impl Into<String>, reading: Reading) -> Metric {
        Metric { name: name.into(), labels: Labels::new(), help: None, reading }
    }

    /// A label, beside those that there are.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Metric {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// What people read of the metric; at most about 250 characters are kept.
    #[must_use]
    pub fn help(mut self, text: &str) -> Metric {
        /// A character has at most four bytes.
        const MOST: usize = LONGEST / 4;
        self.help = (!text.is_empty()).then(|| text.chars().take(MOST).collect());
        self
    }

    /// How one value is made of all nodes' values of a gauge, unless the options say. Other metrics have no rule.
    #[must_use]
    pub fn rule(mut self, rule: GaugeAggregation) -> Metric {
        if let Reading::Gauge(_, own) = &mut self.reading {
            *own = Some(rule);
        }
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks that the metric can be exported.
    ///
    /// # Errors
    /// Why it is left out.
    pub fn check(&self) -> Result<(), MetricError> {
        series::check_own_name(&self.name)?;
        self.check_of_library()
    }

    /// Checks that the metric can be exported, which may have a name of the library's own.
    pub(super) fn check_of_library(&self) -> Result<(), MetricError> {
        series::check(&self.name, &self.labels, self.reading.kind())?;
        match &self.reading {
            Reading::Counter(value) if !(value.is_finite() && *value >= 0.0) => Err(MetricError::Counter),
            Reading::Histogram { bounds, counts, .. }
                if !(series::are_bounds(bounds) && counts.len() == bounds.len() + 1) =>
            {
                Err(MetricError::Buckets)
            }
            _ => Ok(()),
        }
    }
}

impl Reading {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Reading::Counter(_) => Kind::Counter,
            Reading::Gauge(..) => Kind::Gauge,
            Reading::Histogram { .. } => Kind::Histogram,
            Reading::Summary { .. } => Kind::Summary,
        }
    }
}

/// Why a metric is not exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// It has no name.
    #[error("it has no name")]
    NoName,
    /// Its name is of those that the library keeps for itself.
    #[error("names that begin with `multi_node_` are the library's own")]
    Reserved,
    /// Its name and its labels are too long.
    #[error("its name and its labels have more than {LONGEST} bytes")]
    TooLong,
    /// A label has no name, a name that is there already, or that of a label that Prometheus itself sets.
    #[error("the label `{label}` has no name of its own")]
    Label {
        /// The label's name.
        label: String,
    },
    /// A counter is negative or no number.
    #[error("a counter is 0 or more, and finite")]
    Counter,
    /// The bounds of a histogram are too many, do not ascend, or do not fit its counts.
    #[error(
        "a histogram has at most {} bounds, which ascend and are finite, with counts that do not fall",
        series::MOST_BOUNDS
    )]
    Buckets,
    /// The name is that of a metric of another kind, or of one of its samples.
    #[error("its name is that of another metric, or of one of its samples")]
    Taken,
    /// There are too many already.
    #[error("there are too many series")]
    TooMany,
}

/// Metrics that are left out: each name gives one line for the log.
#[derive(Debug, Default)]
pub struct Refused {
    names: BTreeSet<String>,
    lines: Vec<String>,
}

impl Refused {
    /// The most names that give lines, and the longest name.
    const MOST: usize = 100;

    /// Notes that a metric is left out.
    pub fn note(&mut self, name: &str, why: &MetricError) {
        let name: String = name.chars().take(Refused::MOST).collect();
        if self.names.len() < Refused::MOST && !self.names.contains(&name) {
            self.lines.push(format!("the metric `{name}` is not told: {why}"));
            self.names.insert(name);
        }
    }

    /// The lines since the last call.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

type Reads = Pin<Box<dyn Future<Output = Vec<Metric>> + Send>>;

/// Asks the program what it has measured.
#[derive(Clone)]
pub struct Meter(Arc<dyn Fn() -> Reads + Send + Sync>);

impl Meter {
    /// A function that is called whenever the program is asked.
    pub fn new<F>(read: impl Fn() -> F + Send + Sync + 'static) -> Meter
    where
        F: Future<Output = Vec<Metric>> + Send + 'static,
    {
        Meter(Arc::new(move || Box::pin(read())))
    }

    /// Asks the program.
    pub fn read(&self) -> Reads {
        (self.0)()
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_counted_bucket_by_bucket() {
        let metric = Metric::histogram("seconds", [(0.1, 4), (1.0, 6), (f64::INFINITY, 7)], 7, 12.5);
        assert_eq!(metric.check(), Ok(()));
        let expected = Reading::Histogram { bounds: Arc::new([0.1, 1.0]), counts: vec![4, 2, 1], sum: 12.5 };
        assert_eq!(metric.reading, expected);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        for (metric, expected) in [
            (Metric::counter("jobs", -1.0), MetricError::Counter),
            (Metric::counter("jobs", f64::NAN), MetricError::Counter),
            (Metric::histogram("seconds", [(1.0, 4), (0.1, 6)], 7, 1.0), MetricError::Buckets),
            (Metric::histogram("seconds", [(0.1, 4), (1.0, 3)], 7, 1.0), MetricError::Buckets),
            (Metric::histogram("seconds", [(0.1, 4)], 3, 1.0), MetricError::Buckets),
            (Metric::gauge("multi_node_ready", 1.0), MetricError::Reserved),
        ] {
            assert_eq!(metric.check(), Err(expected), "{metric:?}");
        }
        assert_eq!(Metric::gauge("depth", f64::NAN).check(), Ok(()), "a gauge may be unknown");
    }
}
