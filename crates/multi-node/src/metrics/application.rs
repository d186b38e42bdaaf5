//! What programs measure themselves, of all nodes together. Counters and histograms only grow, whoever ends.

use std::collections::{BTreeMap, BTreeSet};

use super::exposition::{Exposition, Kind};
use super::series::{BOUNDS, GaugeRule, LONGEST, Measured, Series};
use crate::id::NodeId;

/// The most series that are kept; what comes beyond is counted and left out.
const MOST_SERIES: usize = 10_000;

/// Names that begin so are this library's own.
const RESERVED: &str = "multi_node_";

type Labels = Vec<(String, String)>;

#[derive(Debug, Default)]
pub(super) struct Application {
    families: BTreeMap<String, Family>,
    series: usize,
    left_out: u64,
    rules: BTreeMap<String, GaugeRule>,
}

/// All series of one name, which are of one kind: the one that was told first.
#[derive(Debug)]
enum Family {
    Counters(BTreeMap<Labels, u64>),
    /// By node, since each has its own.
    Gauges(BTreeMap<Labels, BTreeMap<NodeId, f64>>),
    Histograms(BTreeMap<Labels, Histogram>),
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Application {
    pub(super) fn new(rules: Vec<(String, GaugeRule)>) -> Application {
        let rules = rules.into_iter().map(|(name, rule)| (as_name(&name), rule)).collect();
        Application { rules, ..Application::default() }
    }

    /// Takes in what a node tells.
    pub(super) fn absorb(&mut self, node: NodeId, told: Vec<Series>) {
        for series in told {
            if self.take(node, series).is_none() {
                self.left_out = self.left_out.saturating_add(1);
            }
        }
    }

    /// `None`: it is left out.
    fn take(&mut self, node: NodeId, series: Series) -> Option<()> {
        let Series { name, labels, measured } = series;
        let length = name.len() + labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if length > LONGEST || name.is_empty() || name.starts_with(RESERVED) {
            return None;
        }
        let name = as_name(&name);
        let labels: Labels = labels.into_iter().map(|(name, value)| (as_name(&name), value)).collect();
        if !self.families.get(&name).is_some_and(|family| family.has(&labels)) {
            if self.series == MOST_SERIES {
                return None;
            }
            self.series += 1;
        }
        let family = self.families.entry(name).or_insert_with(|| Family::of(&measured));
        family.add(node, labels, measured)
    }

    /// Forgets the gauges of nodes that live no more.
    pub(super) fn keep(&mut self, alive: &BTreeSet<NodeId>) {
        for family in self.families.values_mut() {
            let Family::Gauges(gauges) = family else { continue };
            let before = gauges.len();
            gauges.retain(|_, values| {
                values.retain(|node, _| alive.contains(node));
                !values.is_empty()
            });
            self.series -= before - gauges.len();
        }
    }

    pub(super) fn write(&self, text: &mut Exposition) {
        for (name, family) in &self.families {
            match family {
                Family::Counters(counters) => {
                    text.metric(name, Kind::Counter, "Of the program, all nodes.");
                    counters.iter().for_each(|(labels, count)| text.sample(name, &borrowed(labels), count));
                }
                Family::Gauges(gauges) => {
                    let rule = self.rules.get(name).copied().unwrap_or_default();
                    text.metric(name, Kind::Gauge, &format!("Of the program, {rule:?} of all nodes."));
                    for (labels, values) in gauges {
                        text.sample(name, &borrowed(labels), rule.of(values.values().copied()));
                    }
                }
                Family::Histograms(histograms) => {
                    text.metric(name, Kind::Histogram, "Of the program, all nodes.");
                    histograms.iter().for_each(|(labels, histogram)| histogram.write(text, name, labels));
                }
            }
        }
        let name = "multi_node_series_left_out_total";
        text.metric(name, Kind::Counter, "What programs measured and is not told: too many series, or a wrong name.");
        text.sample(name, &[], self.left_out);
    }
}

impl Family {
    fn of(measured: &Measured) -> Family {
        match measured {
            Measured::Counter { .. } => Family::Counters(BTreeMap::new()),
            Measured::Gauge { .. } => Family::Gauges(BTreeMap::new()),
            Measured::Histogram { .. } => Family::Histograms(BTreeMap::new()),
        }
    }

    fn has(&self, labels: &Labels) -> bool {
        match self {
            Family::Counters(series) => series.contains_key(labels),
            Family::Gauges(series) => series.contains_key(labels),
            Family::Histograms(series) => series.contains_key(labels),
        }
    }

    fn add(&mut self, node: NodeId, labels: Labels, measured: Measured) -> Option<()> {
        match (self, measured) {
            (Family::Counters(series), Measured::Counter { more }) => {
                let count = series.entry(labels).or_default();
                *count = count.saturating_add(more);
            }
            (Family::Gauges(series), Measured::Gauge { value }) => {
                series.entry(labels).or_default().insert(node, value);
            }
            (Family::Histograms(series), Measured::Histogram { buckets, sum }) => {
                let buckets = <[u64; BOUNDS.len() + 1]>::try_from(buckets).ok()?;
                series.entry(labels).or_default().add(buckets, sum);
            }
            _ => return None,
        }
        Some(())
    }
}

impl Histogram {
    fn add(&mut self, buckets: [u64; BOUNDS.len() + 1], sum: f64) {
        for (bucket, more) in self.buckets.iter_mut().zip(buckets) {
            *bucket = bucket.saturating_add(more);
        }
        self.sum += sum;
    }

    fn write(&self, text: &mut Exposition, name: &str, labels: &Labels) {
        let mut count: u64 = 0;
        let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, more) in bounds.zip(self.buckets) {
            count = count.saturating_add(more);
            let mut labels = borrowed(labels);
            labels.push(("le", &bound));
            text.sample(&format!("{name}_bucket"), &labels, count);
        }
        text.sample(&format!("{name}_sum"), &borrowed(labels), self.sum);
        text.sample(&format!("{name}_count"), &borrowed(labels), count);
    }
}

fn borrowed(labels: &Labels) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// A name as Prometheus has it: letters, digits, `_` and `:`, and no digit first.
fn as_name(name: &str) -> String {
    let allowed = |char: char| if char.is_ascii_alphanumeric() || matches!(char, '_' | ':') { char } else { '_' };
    let digit = name.starts_with(|first: char| first.is_ascii_digit());
    let name = name.chars().map(allowed);
    if digit { std::iter::once('_').chain(name).collect() } else { name.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: NodeId = NodeId::MASTER;

    fn second() -> NodeId {
        NodeId::node(2)
    }

    fn series(name: &str, label: &str, measured: Measured) -> Series {
        Series { name: name.to_owned(), labels: vec![("route".to_owned(), label.to_owned())], measured }
    }

    fn text(application: &Application) -> String {
        let mut text = Exposition::default();
        application.write(&mut text);
        text.into_text()
    }

    #[test]
    fn counters_and_histograms_are_summed_over_nodes() {
        let mut application = Application::default();
        let buckets = |first, last| {
            let mut buckets = vec![0; BOUNDS.len() + 1];
            (buckets[0], buckets[BOUNDS.len()]) = (first, last);
            Measured::Histogram { buckets, sum: 0.5 }
        };
        application.absorb(FIRST, vec![series("jobs.done", "/", Measured::Counter { more: 3 })]);
        application.absorb(second(), vec![series("jobs.done", "/", Measured::Counter { more: 4 })]);
        application.absorb(FIRST, vec![series("seconds", "/", buckets(2, 0))]);
        application.absorb(second(), vec![series("seconds", "/", buckets(1, 5))]);
        application.keep(&BTreeSet::new());
        let text = text(&application);
        for line in [
            "# TYPE jobs_done counter",
            "jobs_done{route=\"/\"} 7",
            "seconds_bucket{route=\"/\",le=\"0.005\"} 3",
            "seconds_bucket{route=\"/\",le=\"10\"} 3",
            "seconds_bucket{route=\"/\",le=\"+Inf\"} 8",
            "seconds_sum{route=\"/\"} 1",
            "seconds_count{route=\"/\"} 8",
        ] {
            assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn gauges_follow_their_rule_and_end_with_their_node() {
        let gauge = |name: &str, value| series(name, "/", Measured::Gauge { value });
        let rules = [GaugeRule::Max, GaugeRule::Min, GaugeRule::Mean];
        let mut application = Application::new(["a", "b", "c"].map(str::to_owned).into_iter().zip(rules).collect());
        for (node, value) in [(FIRST, 1.0), (second(), 4.0)] {
            application.absorb(node, ["a", "b", "c", "d"].map(|name| gauge(name, value)).to_vec());
        }
        let values = |application: &Application| {
            let text = text(application);
            let value = |name| {
                text.lines().find_map(|line| line.strip_prefix(&format!("{name}{{route=\"/\"}} "))?.parse().ok())
            };
            ["a", "b", "c", "d"].map(value)
        };
        assert_eq!(values(&application), [Some(4.0), Some(1.0), Some(2.5), Some(5.0)]);
        application.keep(&BTreeSet::from([FIRST]));
        assert_eq!(values(&application), [Some(1.0); 4]);
        application.keep(&BTreeSet::new());
        assert_eq!((values(&application), application.series), ([None::<f64>; 4], 0));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_counted() {
        let mut application = Application::default();
        let counter = |name: &str, label: &str| series(name, label, Measured::Counter { more: 1 });
        for wrong in [
            counter("multi_node_requests_total", "/"),
            counter("", "/"),
            counter("long", &"x".repeat(LONGEST)),
            series("seconds", "/", Measured::Histogram { buckets: vec![1], sum: 1.0 }),
        ] {
            application.absorb(FIRST, vec![wrong]);
        }
        application.absorb(FIRST, vec![counter("jobs", "/"), series("jobs", "/", Measured::Gauge { value: 1.0 })]);
        assert_eq!(application.left_out, 5, "one name has one kind");
        let many = (0..MOST_SERIES + 10).map(|number| counter("many", &number.to_string()));
        application.absorb(FIRST, many.collect());
        assert!(application.series == MOST_SERIES && application.left_out > 10);
        application.absorb(FIRST, vec![counter("many", "1")]);
        assert!(text(&application).contains("many{route=\"1\"} 2\n"), "those that are kept go on");
    }

    #[test]
    fn names_become_what_prometheus_reads() {
        assert_eq!(["jobs.done", "2xx", "a b-c", "ok:_1"].map(as_name), ["jobs_done", "_2xx", "a_b_c", "ok:_1"]);
    }
}
