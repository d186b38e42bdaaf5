//! What the program measures through the `metrics` facade, kept until it is told to the master.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use super::series::{BOUNDS, LONGEST, Measured, Series};

/// The most series of one process; those that come beyond are not measured.
const MOST_SERIES: usize = 1000;

/// Everything that this process measures. The facade is called from any thread and waits for nothing, hence the lock,
/// which is held for a look at the map and no longer.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    series: Mutex<HashMap<(Kind, Key), Cell>>,
    is_full: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// What is measured, beside what was told of it.
#[derive(Clone, Debug)]
enum Cell {
    Counter { count: Arc<Count>, told: u64 },
    Gauge { value: Arc<Value>, told: Option<u64> },
    Histogram { values: Arc<Values>, told: [u64; BOUNDS.len() + 1], told_sum: f64 },
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

/// A number's bits.
#[derive(Debug, Default)]
struct Value(AtomicU64);

#[derive(Debug, Default)]
struct Values {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: Value,
}

impl Registry {
    /// Has the facade's macros measure here from now on; `None` where the program has a recorder of its own.
    pub(crate) fn install() -> Option<Arc<Registry>> {
        let registry = Arc::new(Registry::default());
        ::metrics::set_global_recorder(registry.clone()).ok().map(|()| registry)
    }

    /// What was measured since the last call.
    pub(crate) fn take(&self) -> Vec<Series> {
        self.series().iter_mut().filter_map(|((_, key), cell)| Some(series(key, cell.take()?))).collect()
    }

    fn series(&self) -> MutexGuard<'_, HashMap<(Kind, Key), Cell>> {
        // Nothing in here panics half-way.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell of this key, made if there is room for it.
    fn cell(&self, kind: Kind, key: &Key) -> Option<Cell> {
        if length(key) > LONGEST {
            return None;
        }
        let mut series = self.series();
        if let Some(cell) = series.get(&(kind, key.clone())) {
            return Some(cell.clone());
        }
        if series.len() == MOST_SERIES {
            if !self.is_full.swap(true, Relaxed) {
                crate::log::warn!(target: "multi_node", "more than {MOST_SERIES} series: {} and others are not measured", key.name());
            }
            return None;
        }
        let cell = Cell::new(kind);
        series.insert((kind, key.clone()), cell.clone());
        Some(cell)
    }
}

fn length(key: &Key) -> usize {
    key.name().len() + key.labels().map(|label| label.key().len() + label.value().len()).sum::<usize>()
}

fn series(key: &Key, measured: Measured) -> Series {
    let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
    Series { name: key.name().to_owned(), labels, measured }
}

impl Cell {
    fn new(kind: Kind) -> Cell {
        match kind {
            Kind::Counter => Cell::Counter { count: Arc::default(), told: 0 },
            Kind::Gauge => Cell::Gauge { value: Arc::default(), told: None },
            Kind::Histogram => Cell::Histogram { values: Arc::default(), told: Default::default(), told_sum: 0.0 },
        }
    }

    /// What is new, if anything is.
    fn take(&mut self) -> Option<Measured> {
        match self {
            Cell::Counter { count, told } => {
                let now = count.0.load(Relaxed);
                let more = now.saturating_sub(std::mem::replace(told, now));
                (more > 0).then_some(Measured::Counter { more })
            }
            Cell::Gauge { value, told } => {
                let now = value.0.load(Relaxed);
                (told.replace(now) != Some(now)).then_some(Measured::Gauge { value: f64::from_bits(now) })
            }
            Cell::Histogram { values, told, told_sum } => {
                let now: Vec<u64> = values.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
                let buckets: Vec<u64> =
                    now.iter().zip(told.iter()).map(|(now, told)| now.saturating_sub(*told)).collect();
                told.copy_from_slice(&now);
                let sum = values.sum.get();
                let more = sum - std::mem::replace(told_sum, sum);
                buckets.iter().any(|count| *count > 0).then_some(Measured::Histogram { buckets, sum: more })
            }
        }
    }
}

impl Recorder for Registry {
    // The page tells what stands in the code, and no more.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(Kind::Counter, key) {
            Some(Cell::Counter { count, .. }) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(Kind::Gauge, key) {
            Some(Cell::Gauge { value, .. }) => Gauge::from_arc(value),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.cell(Kind::Histogram, key) {
            Some(Cell::Histogram { values, .. }) => Histogram::from_arc(values),
            _ => Histogram::noop(),
        }
    }
}

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Relaxed);
    }
}

impl Value {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn add(&self, more: f64) {
        // It never refuses.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |bits| Some((f64::from_bits(bits) + more).to_bits()));
    }
}

impl GaugeFn for Value {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        let bucket = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        self.sum.add(value);
        self.buckets[bucket].fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(registry: &Registry, name: &str) -> Option<Measured> {
        registry.take().into_iter().find(|series| series.name == name).map(|series| series.measured)
    }

    #[test]
    fn what_is_new_is_told_once() {
        let registry = Registry::default();
        ::metrics::with_local_recorder(&registry, || {
            let jobs = ::metrics::counter!("jobs", "queue" => "mail");
            jobs.increment(2);
            let told = registry.take();
            assert_eq!(told[0].labels, [("queue".to_owned(), "mail".to_owned())]);
            assert_eq!(told[0].measured, Measured::Counter { more: 2 });
            assert!(registry.take().is_empty(), "nothing is new");
            ::metrics::counter!("jobs", "queue" => "mail").increment(3);
            assert_eq!(measured(&registry, "jobs"), Some(Measured::Counter { more: 3 }));
        });
    }

    #[test]
    fn gauges_are_values_and_histograms_are_counts() {
        let registry = Registry::default();
        ::metrics::with_local_recorder(&registry, || {
            ::metrics::gauge!("depth").set(4.0);
            ::metrics::gauge!("depth").decrement(1.5);
            assert_eq!(measured(&registry, "depth"), Some(Measured::Gauge { value: 2.5 }));
            for value in [0.001, 0.005, 0.3, 99.0] {
                ::metrics::histogram!("seconds").record(value);
            }
            let Some(Measured::Histogram { buckets, sum }) = measured(&registry, "seconds") else {
                panic!("a histogram")
            };
            assert_eq!((buckets[0], buckets[6], buckets[BOUNDS.len()]), (2, 1, 1));
            assert!((sum - 99.306).abs() < 1e-9);
        });
    }

    #[test]
    fn series_without_end_are_cut_off() {
        let registry = Registry::default();
        ::metrics::with_local_recorder(&registry, || {
            for number in 0..2 * MOST_SERIES {
                ::metrics::counter!("visits", "visitor" => number.to_string()).increment(1);
            }
            assert_eq!(registry.take().len(), MOST_SERIES);
        });
    }
}
