//! The programs' own metrics, aggregated over all nodes. Counters and histograms only grow, also when nodes end.

use std::collections::{BTreeMap, BTreeSet};

use super::exposition::{Exposition, Number};
use super::histogram::Histogram;
use super::metric::MetricError;
use super::series::{self, GaugeAggregation, Kind, LONGEST, Labels, Measured, Series, as_label, as_name};
use multi_node_fleet::id::NodeId;

/// The most series that are kept, and the most samples that they may have; what comes beyond is left out.
const MOST_SERIES: usize = 10_000;
const MOST_SAMPLES: usize = 200_000;

/// All series of all nodes.
#[derive(Debug, Default)]
pub struct Aggregator {
    families: BTreeMap<String, Family>,
    /// The names of all samples, each of which belongs to one family.
    names: BTreeSet<String>,
    series: usize,
    samples: usize,
    left_out: u64,
    /// Those that the options declare.
    rules: BTreeMap<String, GaugeAggregation>,
}

/// All series of one name. They have one kind: that of the first one reported.
#[derive(Debug)]
struct Family {
    help: Option<String>,
    /// What the program says of a gauge.
    rule: Option<GaugeAggregation>,
    all: All,
}

#[derive(Debug)]
enum All {
    Counters(BTreeMap<Labels, f64>),
    /// By node, since each has its own.
    Gauges(BTreeMap<Labels, BTreeMap<NodeId, f64>>),
    Histograms(BTreeMap<Labels, Histogram>),
    Summaries(BTreeMap<Labels, (u64, f64)>),
}

impl Aggregator {
    /// None yet; `rules` are those of gauges that the options declare.
    pub fn new(rules: Vec<(String, GaugeAggregation)>) -> Aggregator {
        let rules = rules.into_iter().map(|(name, rule)| (as_name(&name), rule)).collect();
        Aggregator { rules, ..Aggregator::default() }
    }

    /// Adds a node's report. Returns the names that were left out, and why.
    pub fn absorb(&mut self, node: NodeId, told: Vec<Series>) -> Vec<(String, MetricError)> {
        let mut left_out = Vec::new();
        for series in told {
            let name = series.name.clone();
            if let Err(why) = self.take(node, series) {
                self.left_out = self.left_out.saturating_add(1);
                left_out.push((name, why));
            }
        }
        left_out
    }

    fn take(&mut self, node: NodeId, series: Series) -> Result<(), MetricError> {
        let Series { name, labels, help, measured } = series;
        series::check_told_name(&name)?;
        series::check(&name, &labels, measured.kind())?;
        measured.check()?;
        let name = as_name(&name);
        let labels: Labels = labels.into_iter().map(|(name, value)| (as_label(&name), value)).collect();
        if measured == Measured::Gone {
            self.forget(&name, &labels, node);
            return Ok(());
        }
        self.make_room(&name, &labels, &measured)?;
        let Some(family) = self.families.get_mut(&name) else { return Err(MetricError::TooMany) };
        family.help = help.filter(|help| help.len() <= LONGEST).or(family.help.take());
        family.add(node, labels, measured);
        Ok(())
    }

    /// Sees to it that there is a family of the right kind, and that the series can be added to it.
    fn make_room(&mut self, name: &str, labels: &Labels, measured: &Measured) -> Result<(), MetricError> {
        let kind = measured.kind();
        match self.families.get(name) {
            Some(family) if family.all.kind() != kind => return Err(MetricError::Taken),
            Some(family) if family.all.has(labels) => return Ok(()),
            _ => {}
        }
        let samples = self.samples + measured.samples();
        if self.series == MOST_SERIES || samples > MOST_SAMPLES {
            return Err(MetricError::TooMany);
        }
        if !self.families.contains_key(name) {
            self.found(name, kind)?;
        }
        (self.series, self.samples) = (self.series + 1, samples);
        Ok(())
    }

    fn found(&mut self, name: &str, kind: Kind) -> Result<(), MetricError> {
        let names = || [""].iter().chain(kind.suffixes()).map(|suffix| format!("{name}{suffix}"));
        if names().any(|name| self.names.contains(&name)) {
            return Err(MetricError::Taken);
        }
        self.names.extend(names());
        self.families.insert(name.to_owned(), Family { help: None, rule: None, all: All::of(kind) });
        Ok(())
    }

    /// Forgets the gauges of nodes that live no more.
    pub fn keep(&mut self, alive: &BTreeSet<NodeId>) {
        let mut ended = 0;
        for family in self.families.values_mut() {
            let All::Gauges(gauges) = &mut family.all else { continue };
            let before = gauges.len();
            gauges.retain(|_, values| {
                values.retain(|node, _| alive.contains(node));
                !values.is_empty()
            });
            ended += before - gauges.len();
        }
        (self.series, self.samples) = (self.series - ended, self.samples - ended);
    }

    /// A node has a gauge no more.
    fn forget(&mut self, name: &str, labels: &Labels, node: NodeId) {
        let Some(All::Gauges(gauges)) = self.families.get_mut(name).map(|family| &mut family.all) else { return };
        let Some(values) = gauges.get_mut(labels) else { return };
        values.remove(&node);
        if values.is_empty() {
            gauges.remove(labels);
            (self.series, self.samples) = (self.series - 1, self.samples - 1);
        }
    }

    /// Writes all of them as they are now.
    pub fn write(&self, text: &mut Exposition) {
        for (name, family) in &self.families {
            family.write(text, name, self.rules.get(name).copied());
        }
        let name = "multi_node_series_left_out_total";
        text.metric(name, Kind::Counter, "What programs measured and is not told: too many series, or a wrong name.");
        text.sample(name, &[], self.left_out);
    }
}

impl Family {
    fn add(&mut self, node: NodeId, labels: Labels, measured: Measured) {
        match (&mut self.all, measured) {
            (All::Counters(series), Measured::Counter { more }) => *series.entry(labels).or_default() += more,
            (All::Gauges(series), Measured::Gauge { value, rule }) => {
                self.rule = rule.or(self.rule);
                series.entry(labels).or_default().insert(node, value);
            }
            (All::Histograms(series), Measured::Histogram { buckets, sum, bounds }) => {
                series.entry(labels).or_default().add(node, bounds, &buckets, sum);
            }
            (All::Summaries(series), Measured::Summary { count, sum }) => {
                let (all, total) = series.entry(labels).or_default();
                (*all, *total) = (all.saturating_add(count), *total + sum);
            }
            // The caller has checked the kind.
            _ => {}
        }
    }

    fn write(&self, text: &mut Exposition, name: &str, declared: Option<GaugeAggregation>) {
        let rule = declared.or(self.rule).unwrap_or_default();
        let is_gauge = matches!(self.all, All::Gauges(_));
        if is_gauge && rule == GaugeAggregation::Omit {
            return;
        }
        let help = match &self.help {
            Some(help) => help.clone(),
            None if is_gauge => format!("Of the program, {rule:?} of all nodes."),
            None => "Of the program, all nodes.".to_owned(),
        };
        text.metric(name, self.all.kind(), &help);
        self.all.write(text, name, rule);
    }
}

impl All {
    fn of(kind: Kind) -> All {
        match kind {
            Kind::Counter => All::Counters(BTreeMap::new()),
            Kind::Gauge => All::Gauges(BTreeMap::new()),
            Kind::Histogram => All::Histograms(BTreeMap::new()),
            Kind::Summary => All::Summaries(BTreeMap::new()),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            All::Counters(_) => Kind::Counter,
            All::Gauges(_) => Kind::Gauge,
            All::Histograms(_) => Kind::Histogram,
            All::Summaries(_) => Kind::Summary,
        }
    }

    fn has(&self, labels: &Labels) -> bool {
        match self {
            All::Counters(series) => series.contains_key(labels),
            All::Gauges(series) => series.contains_key(labels),
            All::Histograms(series) => series.contains_key(labels),
            All::Summaries(series) => series.contains_key(labels),
        }
    }

    fn write(&self, text: &mut Exposition, name: &str, rule: GaugeAggregation) {
        match self {
            All::Counters(series) => {
                series.iter().for_each(|(labels, count)| text.sample(name, &borrowed(labels), Number(*count)));
            }
            All::Gauges(series) => {
                for (labels, values) in series {
                    if let Some(value) = rule.of(values.values().copied()) {
                        text.sample(name, &borrowed(labels), Number(value));
                    }
                }
            }
            All::Histograms(series) => {
                series.iter().for_each(|(labels, histogram)| histogram.write(text, name, &borrowed(labels)));
            }
            All::Summaries(series) => {
                for (labels, (count, sum)) in series {
                    text.sample(&format!("{name}_sum"), &borrowed(labels), Number(*sum));
                    text.sample(&format!("{name}_count"), &borrowed(labels), count);
                }
            }
        }
    }
}

fn borrowed(labels: &Labels) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[cfg(test)]
#[path = "aggregator_tests.rs"]
mod tests;
