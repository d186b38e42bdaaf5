//! The programs' own metrics, as nodes report them to their master: the additions since the last report.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, Serializer};

use super::metric::MetricError;

pub(super) type Labels = Vec<(String, String)>;

/// One series of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// As the program has it.
    pub name: String,
    /// Name and value of each.
    pub labels: Vec<(String, String)>,
    /// The description for people; sent once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// What is new of it.
    pub measured: Measured,
}

/// What was measured since the node's last report. Only masters that set `measures_all` understand what is not
/// [plain](Measured::is_plain).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// So much more.
    Counter {
        #[serde(serialize_with = "whole_where_it_is")]
        more: f64,
    },
    /// The value now, and how all nodes' values are made one unless the master's options say.
    Gauge {
        value: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<GaugeAggregation>,
    },
    /// The new values in each bucket, the last one being for values above all bounds; and the sum of the new values. Without
    /// bounds the buckets are [`BOUNDS`].
    Histogram {
        buckets: Vec<u64>,
        sum: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bounds: Option<Vec<f64>>,
    },
    /// The number of new values, and their sum.
    Summary { count: u64, sum: f64 },
    /// A gauge has no value any more.
    Gone,
}

impl Measured {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Measured::Counter { .. } => Kind::Counter,
            Measured::Gauge { .. } | Measured::Gone => Kind::Gauge,
            Measured::Histogram { .. } => Kind::Histogram,
            Measured::Summary { .. } => Kind::Summary,
        }
    }

    /// How many samples a series of it has.
    pub(super) fn samples(&self) -> usize {
        match self {
            Measured::Histogram { buckets, .. } => buckets.len() + 2,
            Measured::Summary { .. } => 2,
            _ => 1,
        }
    }

    /// A node may send any content.
    pub(super) fn check(&self) -> Result<(), MetricError> {
        match self {
            Measured::Counter { more } if !(more.is_finite() && *more >= 0.0) => Err(MetricError::Counter),
            Measured::Histogram { buckets, bounds, .. } => {
                let bounds = bounds.as_deref().unwrap_or(&BOUNDS);
                let fits = are_bounds(bounds) && buckets.len() == bounds.len() + 1;
                if fits { Ok(()) } else { Err(MetricError::Buckets) }
            }
            _ => Ok(()),
        }
    }

    /// Whether masters understand it that know only whole counters, gauges, and histograms with [`BOUNDS`].
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Measured::Counter { more } => more.fract() == 0.0,
            Measured::Gauge { .. } => true,
            Measured::Histogram { bounds, .. } => bounds.is_none(),
            Measured::Summary { .. } | Measured::Gone => false,
        }
    }
}

/// Masters that know whole counters only can read them.
fn whole_where_it_is<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    /// Up to here an `f64` has every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && (0.0..=EXACT).contains(value) {
        serializer.serialize_u64(*value as u64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// The kinds of metrics.
#[allow(missing_docs, reason = "as Prometheus has them")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }

    /// What is put behind the metric's name in its samples.
    pub(super) fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter | Kind::Gauge => &[],
            Kind::Histogram => &["_bucket", "_sum", "_count"],
            Kind::Summary => &["_sum", "_count"],
        }
    }

    /// The label that belongs to the kind itself.
    fn own_label(self) -> Option<&'static str> {
        match self {
            Kind::Counter | Kind::Gauge => None,
            Kind::Histogram => Some("le"),
            Kind::Summary => Some("quantile"),
        }
    }
}

/// The most series of one process; those that come beyond are not measured.
pub(super) const MOST_OF_NODE: usize = 1000;

/// The longest name with its labels, and the longest help text, in bytes.
pub(super) const LONGEST: usize = 1024;

/// The most bounds of a histogram: with them 250 series still fit into one message.
pub const MOST_BOUNDS: usize = 100;

/// Names that begin so are this library's own, and nodes tell of those that begin with one of the others.
const RESERVED: &str = "multi_node_";
const OF_NODES: [&str; 2] = ["multi_node_bus_", "multi_node_tls_"];

/// The upper bounds of a histogram's buckets, in the unit of the values: those that Prometheus' clients have for seconds.
pub(super) const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Whether a page could tell of it.
pub(super) fn check(name: &str, labels: &Labels, kind: Kind) -> Result<(), MetricError> {
    let length = name.len() + labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if name.is_empty() {
        return Err(MetricError::NoName);
    }
    if length > LONGEST {
        return Err(MetricError::TooLong);
    }
    let mut seen = BTreeSet::from_iter(kind.own_label().map(str::to_owned));
    match labels.iter().find(|(label, _)| label.is_empty() || !seen.insert(as_label(label))) {
        Some((label, _)) => Err(MetricError::Label { label: label.clone() }),
        None => Ok(()),
    }
}

/// A program's own metric has none of the library's names.
pub(super) fn check_own_name(name: &str) -> Result<(), MetricError> {
    if as_name(name).starts_with(RESERVED) { Err(MetricError::Reserved) } else { Ok(()) }
}

/// What a node tells of has none of the names that the master alone tells of.
pub(super) fn check_told_name(name: &str) -> Result<(), MetricError> {
    let name = as_name(name);
    if OF_NODES.iter().any(|of_nodes| name.starts_with(of_nodes)) { Ok(()) } else { check_own_name(&name) }
}

/// Whether a histogram can have these bounds.
pub fn are_bounds(bounds: &[f64]) -> bool {
    bounds.len() <= MOST_BOUNDS
        && bounds.iter().all(|bound| bound.is_finite())
        && bounds.is_sorted_by(|one, next| one < next)
}

/// A name as Prometheus has it: letters, digits, `_` and `:`, and no digit first.
pub(super) fn as_name(name: &str) -> String {
    spelt(name, |char| char.is_ascii_alphanumeric() || matches!(char, '_' | ':'))
}

/// The name of a label, which has no `:`.
pub(super) fn as_label(name: &str) -> String {
    spelt(name, |char| char.is_ascii_alphanumeric() || char == '_')
}

fn spelt(name: &str, allowed: fn(char) -> bool) -> String {
    let digit = name.starts_with(|first: char| first.is_ascii_digit()).then_some('_');
    digit.into_iter().chain(name.chars().map(|char| if allowed(char) { char } else { '_' })).collect()
}

/// How one value is made of all nodes' values of a gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GaugeAggregation {
    /// Their sum: connections to a database, things in queues.
    #[default]
    Sum,
    /// The highest: an age, a lag.
    Max,
    /// The lowest.
    Min,
    /// Their mean: a share, a temperature.
    Mean,
    /// That of the node that was started first: what is the same in all of them, such as a version.
    First,
    /// None: the gauge is not exported, since it describes only one process.
    Omit,
}

impl GaugeAggregation {
    /// Aggregates values in the order in which their nodes were started. `None` if there is nothing to export.
    pub(super) fn of(self, mut values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
        let count = values.len() as f64;
        match self {
            GaugeAggregation::Sum => Some(values.sum()),
            GaugeAggregation::Max => values.reduce(f64::max),
            GaugeAggregation::Min => values.reduce(f64::min),
            GaugeAggregation::Mean => Some(values.sum::<f64>() / count),
            GaugeAggregation::First => values.next(),
            GaugeAggregation::Omit => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_prometheus_reads() {
        assert_eq!(["jobs.done", "2xx", "a b-c", "ok:_1"].map(as_name), ["jobs_done", "_2xx", "a_b_c", "ok:_1"]);
        assert_eq!(as_label("ok:1"), "ok_1");
    }

    #[test]
    fn programs_have_none_of_the_librarys_names_and_nodes_none_of_the_masters() {
        let refused = Err(MetricError::Reserved);
        for (name, own, told) in [
            ("jobs_multi_node_bus", Ok(()), Ok(())),
            ("multi_node_bus_sent_total", refused.clone(), Ok(())),
            ("multi.node.bus.sent", refused.clone(), Ok(())),
            ("multi_node_tls_handshakes_total", refused.clone(), Ok(())),
            ("multi_node_requests_total", refused.clone(), refused.clone()),
            ("multi.node.requests", refused.clone(), refused.clone()),
        ] {
            assert_eq!((check_own_name(name), check_told_name(name)), (own, told), "{name}");
        }
    }

    #[test]
    fn what_no_page_could_tell_is_refused() {
        let labels = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "/".to_owned())).collect::<Labels>();
        let label = |label: &str| Err(MetricError::Label { label: label.to_owned() });
        for (name, names, kind, expected) in [
            ("jobs", &["route", "le"][..], Kind::Counter, Ok(())),
            ("", &[], Kind::Counter, Err(MetricError::NoName)),
            ("jobs", &["a.b", "a:b"], Kind::Gauge, label("a:b")),
            ("jobs", &[""], Kind::Gauge, label("")),
            ("seconds", &["le"], Kind::Histogram, label("le")),
            ("seconds", &["quantile"], Kind::Summary, label("quantile")),
        ] {
            assert_eq!(check(name, &labels(names), kind), expected, "{name} {names:?}");
        }
        assert_eq!(check(&"x".repeat(LONGEST), &labels(&["a"]), Kind::Gauge), Err(MetricError::TooLong));
        assert!(are_bounds(&[]) && are_bounds(&BOUNDS) && are_bounds(&[-1.0, 0.0]));
        for wrong in [&[1.0, 1.0][..], &[2.0, 1.0], &[f64::NAN], &[1.0, f64::INFINITY], &[0.0; MOST_BOUNDS + 1]] {
            assert!(!are_bounds(wrong), "{wrong:?}");
        }
    }

    /// As releases know them that have no fractions.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Earlier {
        Counter { more: u64 },
        Gauge { value: f64 },
        Histogram { buckets: Vec<u64>, sum: f64 },
    }

    #[test]
    fn earlier_releases_and_this_one_understand_each_other() {
        let counts = vec![1; BOUNDS.len() + 1];
        for (now, earlier) in [
            (Measured::Counter { more: 3.0 }, Earlier::Counter { more: 3 }),
            (Measured::Gauge { value: 0.5, rule: None }, Earlier::Gauge { value: 0.5 }),
            (
                Measured::Histogram { buckets: counts.clone(), sum: 2.0, bounds: None },
                Earlier::Histogram { buckets: counts, sum: 2.0 },
            ),
        ] {
            assert!(now.is_plain());
            let sent = rmp_serde::to_vec_named(&earlier).expect("encoded");
            assert_eq!(rmp_serde::from_slice::<Measured>(&sent).expect("understood"), now);
            let sent = rmp_serde::to_vec_named(&now).expect("encoded");
            assert_eq!(rmp_serde::from_slice::<Earlier>(&sent).expect("understood"), earlier);
        }
        let ruled = Measured::Gauge { value: 0.5, rule: Some(GaugeAggregation::Max) };
        let sent = rmp_serde::to_vec_named(&ruled).expect("encoded");
        assert_eq!(rmp_serde::from_slice::<Measured>(&sent).expect("understood"), ruled);
        assert_eq!(rmp_serde::from_slice::<Earlier>(&sent).expect("understood"), Earlier::Gauge { value: 0.5 });
        assert!(!Measured::Counter { more: 0.5 }.is_plain());
    }
}
