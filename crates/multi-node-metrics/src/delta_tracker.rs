//! A node's measurements, and what it has already reported of them. Each change is reported once.

use std::collections::HashMap;
use std::sync::Arc;

use super::metric::{Metric, MetricError, Reading, Refused};
use super::series::{BOUNDS, GaugeAggregation, Kind, Labels, MOST_OF_NODE, Measured, Series, as_name};

/// Of one source of metrics.
#[derive(Debug)]
pub struct DeltaTracker {
    told: HashMap<(Kind, String, Labels), Entry>,
    rules: Vec<(String, GaugeAggregation)>,
    /// How often it has been looked at.
    looks: u64,
    refused: Refused,
    of_library: bool,
}

#[derive(Debug)]
struct Entry {
    /// `None`: nothing yet.
    told: Option<Reading>,
    /// Reported even without a change, with its help text, so that counters begin at 0.
    is_due: bool,
    seen: u64,
}

impl DeltaTracker {
    /// `rules` are those of gauges that the program has declared.
    pub fn new(rules: Vec<(String, GaugeAggregation)>) -> DeltaTracker {
        DeltaTracker { told: HashMap::new(), rules, looks: 0, refused: Refused::default(), of_library: false }
    }

    /// Of metrics that are the library's own.
    pub fn of_library() -> DeltaTracker {
        DeltaTracker { of_library: true, ..DeltaTracker::new(Vec::new()) }
    }

    /// What is new since the last call: of all that there is, which gauges are part of as long as they have values. What the
    /// master cannot understand, unless it does `all`, waits.
    pub fn news(&mut self, metrics: Vec<Metric>, all: bool) -> Vec<Series> {
        self.looks += 1;
        let mut news = Vec::new();
        for metric in metrics {
            match self.new_of(&metric, all) {
                Ok(series) => news.extend(series),
                Err(why) => self.refused.note(&metric.name, &why),
            }
        }
        self.forget_gauges(all, &mut news);
        news
    }

    /// Lines for the log about metrics that are left out, since the last call.
    pub fn take_refused(&mut self) -> Vec<String> {
        self.refused.take_lines()
    }

    /// From now on the reports go to a new receiver that knows nothing yet. What was reported stays reported.
    pub fn begin_anew(&mut self) {
        self.told.values_mut().for_each(|entry| entry.is_due = true);
    }

    fn new_of(&mut self, metric: &Metric, all: bool) -> Result<Option<Series>, MetricError> {
        if self.of_library { metric.check_of_library() } else { metric.check() }?;
        let Metric { name, labels, help, reading } = metric;
        let key = (reading.kind(), name.clone(), labels.clone());
        let full = self.told.len() >= MOST_OF_NODE;
        if full && !self.told.contains_key(&key) {
            return Err(MetricError::TooMany);
        }
        let entry = self.told.entry(key).or_insert(Entry { told: None, is_due: true, seen: 0 });
        entry.seen = self.looks;
        let Some(mut measured) = entry.more(reading, all) else { return Ok(None) };
        let was_due = std::mem::take(&mut entry.is_due);
        let help = help.clone().filter(|_| was_due);
        if let Measured::Gauge { rule, .. } = &mut measured {
            let name = as_name(name);
            let declared = self.rules.iter().find(|(declared, _)| as_name(declared) == name);
            *rule = declared.map(|(_, rule)| *rule).or(*rule);
        }
        Ok(Some(Series { name: name.clone(), labels: labels.clone(), help, measured }))
    }

    fn forget_gauges(&mut self, all: bool, news: &mut Vec<Series>) {
        let looks = self.looks;
        self.told.retain(|(kind, name, labels), entry| {
            let stays = *kind != Kind::Gauge || entry.seen == looks;
            if !stays && all {
                let (name, labels) = (name.clone(), labels.clone());
                news.push(Series { name, labels, help: None, measured: Measured::Gone });
            }
            stays
        });
    }
}

impl Entry {
    /// The report of a series, which counts as sent from then on.
    fn more(&mut self, now: &Reading, all: bool) -> Option<Measured> {
        let before = self.told.as_ref();
        let (measured, reading) = match now {
            Reading::Counter(now) => counter(*now, before, all),
            Reading::Gauge(value, rule) => (Measured::Gauge { value: *value, rule: *rule }, now.clone()),
            Reading::Histogram { bounds, counts, sum } => (histogram(bounds, counts, *sum, before), now.clone()),
            Reading::Summary { count, sum } => (summary(*count, *sum, before), now.clone()),
        };
        let is_new = self.is_due || before.is_none_or(|before| !is_same(before, &reading));
        if !is_new || !(all || measured.is_plain()) {
            return None;
        }
        self.told = Some(reading);
        Some(measured)
    }
}

/// NaN equals nothing, yet a second NaN is no change.
fn is_same(before: &Reading, now: &Reading) -> bool {
    match (before, now) {
        (Reading::Gauge(before, _), Reading::Gauge(now, _)) => before.to_bits() == now.to_bits(),
        _ => before == now,
    }
}

fn counter(now: f64, told: Option<&Reading>, all: bool) -> (Measured, Reading) {
    let before = match told {
        Some(Reading::Counter(told)) if *told <= now => *told,
        // The counter has started again from 0.
        _ => 0.0,
    };
    let more = if all { now - before } else { (now - before).floor() };
    (Measured::Counter { more }, Reading::Counter(if all { now } else { before + more }))
}

fn histogram(bounds: &Arc<[f64]>, counts: &[u64], sum: f64, told: Option<&Reading>) -> Measured {
    let own = (**bounds != BOUNDS).then(|| bounds.to_vec());
    if let Some(Reading::Histogram { bounds: told_bounds, counts: told, sum: told_sum }) = told
        && told_bounds == bounds
        && let Some(buckets) = counts.iter().zip(told).map(|(now, told)| now.checked_sub(*told)).collect()
    {
        return Measured::Histogram { buckets, sum: sum - told_sum, bounds: own };
    }
    Measured::Histogram { buckets: counts.to_vec(), sum, bounds: own }
}

fn summary(count: u64, sum: f64, told: Option<&Reading>) -> Measured {
    match told {
        Some(Reading::Summary { count: told, sum: told_sum }) if *told <= count => {
            Measured::Summary { count: count - told, sum: sum - told_sum }
        }
        _ => Measured::Summary { count, sum },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta_tracker() -> DeltaTracker {
        DeltaTracker::new(vec![("lag.seconds".to_owned(), GaugeAggregation::Max)])
    }

    fn news(delta_tracker: &mut DeltaTracker, metric: Metric) -> Option<Measured> {
        delta_tracker.news(vec![metric], true).pop().map(|series| series.measured)
    }

    #[test]
    fn what_is_new_is_told_once_from_zero_on() {
        let mut delta_tracker = delta_tracker();
        let jobs = |value| Metric::counter("jobs", value).label("queue", "mail").help("Jobs.");
        let told = delta_tracker.news(vec![jobs(0.0)], true).remove(0);
        assert_eq!((told.help.as_deref(), &told.measured), (Some("Jobs."), &Measured::Counter { more: 0.0 }));
        assert_eq!(told.labels, [("queue".to_owned(), "mail".to_owned())]);
        assert_eq!(news(&mut delta_tracker, jobs(0.0)), None);
        let told = delta_tracker.news(vec![jobs(2.5)], true).remove(0);
        assert_eq!((told.help, told.measured), (None, Measured::Counter { more: 2.5 }));
        assert_eq!(news(&mut delta_tracker, jobs(1.0)), Some(Measured::Counter { more: 1.0 }), "it has begun anew");
    }

    #[test]
    fn histograms_and_summaries_are_told_by_what_has_come() {
        let mut delta_tracker = delta_tracker();
        let seconds = |below, count, sum| Metric::histogram("seconds", [(0.5, below)], count, sum);
        let told = |buckets: [u64; 2], sum| {
            Some(Measured::Histogram { buckets: buckets.to_vec(), sum, bounds: Some(vec![0.5]) })
        };
        assert_eq!(news(&mut delta_tracker, seconds(2, 3, 4.0)), told([2, 1], 4.0));
        assert_eq!(news(&mut delta_tracker, seconds(2, 3, 4.0)), None);
        assert_eq!(news(&mut delta_tracker, seconds(3, 5, 6.0)), told([1, 1], 2.0));
        assert_eq!(news(&mut delta_tracker, seconds(1, 1, 0.25)), told([1, 0], 0.25), "it has begun anew");
        let other = Metric::histogram("seconds", [(0.25, 1)], 1, 0.25);
        let bounds = Some(vec![0.25]);
        assert_eq!(
            news(&mut delta_tracker, other),
            Some(Measured::Histogram { buckets: vec![1, 0], sum: 0.25, bounds })
        );

        assert_eq!(
            news(&mut delta_tracker, Metric::summary("sizes", 2, 7.0)),
            Some(Measured::Summary { count: 2, sum: 7.0 })
        );
        assert_eq!(
            news(&mut delta_tracker, Metric::summary("sizes", 3, 8.0)),
            Some(Measured::Summary { count: 1, sum: 1.0 })
        );
        assert_eq!(
            news(&mut delta_tracker, Metric::summary("sizes", 1, 8.0)),
            Some(Measured::Summary { count: 1, sum: 8.0 })
        );
    }

    #[test]
    fn gauges_are_values_until_they_are_gone() {
        let mut delta_tracker = delta_tracker();
        let lag = |value| Metric::gauge("lag_seconds", value).rule(GaugeAggregation::Min);
        let told = |value| Some(Measured::Gauge { value, rule: Some(GaugeAggregation::Max) });
        assert_eq!(news(&mut delta_tracker, lag(4.0)), told(4.0), "the options come before what the metric says");
        assert_eq!(news(&mut delta_tracker, lag(4.0)), None);
        assert_eq!(news(&mut delta_tracker, lag(1.5)), told(1.5));
        assert!(news(&mut delta_tracker, lag(f64::NAN)).is_some());
        assert_eq!(news(&mut delta_tracker, lag(f64::NAN)), None);
        assert_eq!(delta_tracker.news(vec![], true)[0].measured, Measured::Gone);
        assert_eq!((delta_tracker.news(vec![], true), delta_tracker.told.len()), (vec![], 0));
    }

    #[test]
    fn a_new_master_is_told_of_all_series_and_of_nothing_twice() {
        let mut delta_tracker = delta_tracker();
        let metrics = || vec![Metric::counter("jobs", 2.0).help("Jobs."), Metric::gauge("depth", 1.0)];
        assert_eq!(delta_tracker.news(metrics(), true).len(), 2);
        delta_tracker.begin_anew();
        let told = delta_tracker.news(metrics(), true);
        let gauge = Measured::Gauge { value: 1.0, rule: None };
        assert_eq!((&told[0].measured, &told[1].measured), (&Measured::Counter { more: 0.0 }, &gauge));
        assert_eq!((told[0].help.as_deref(), delta_tracker.news(metrics(), true)), (Some("Jobs."), vec![]));
    }

    #[test]
    fn what_an_earlier_master_does_not_understand_waits_for_one_that_does() {
        let mut delta_tracker = delta_tracker();
        let metrics = |bytes: f64| {
            let seconds = Metric::histogram("seconds", [(0.5, 1)], 1, 0.25);
            vec![
                Metric::counter("bytes", bytes),
                seconds,
                Metric::summary("sizes", 1, 2.0),
                Metric::gauge("depth", 1.0),
            ]
        };
        let told = delta_tracker.news(metrics(2.75), false);
        let counted: Vec<_> = told.iter().map(|series| (series.name.as_str(), &series.measured)).collect();
        let gauge = Measured::Gauge { value: 1.0, rule: None };
        assert_eq!(counted, [("bytes", &Measured::Counter { more: 2.0 }), ("depth", &gauge)]);
        assert!(delta_tracker.news(metrics(2.75), false).is_empty());
        let told = delta_tracker.news(metrics(3.0), true);
        assert_eq!(told.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["bytes", "seconds", "sizes"]);
        assert_eq!(told[0].measured, Measured::Counter { more: 1.0 });
    }

    #[test]
    fn series_without_end_are_cut_off_and_wrong_ones_left_out() {
        let mut delta_tracker = delta_tracker();
        let visits = |number: usize| Metric::counter("visits", 1.0).label("visitor", number.to_string());
        assert_eq!(delta_tracker.news((0..2 * MOST_OF_NODE).map(visits).collect(), true).len(), MOST_OF_NODE);
        assert_eq!(delta_tracker.news(vec![Metric::gauge("multi_node_ready", 1.0)], true), []);
        assert_eq!(delta_tracker.news(vec![Metric::gauge("multi_node_ready", 2.0)], true), []);
        let [visits, reserved] = &delta_tracker.take_refused()[..] else { panic!("a line for each name") };
        assert_eq!(visits, "the metric `visits` is not told: there are too many series");
        assert!(reserved.starts_with("the metric `multi_node_ready` is not told: names that begin with"), "{reserved}");
        assert!(delta_tracker.take_refused().is_empty());
    }
}
