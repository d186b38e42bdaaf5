//! What the program measures through the `metrics` facade.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

use super::metric::{Metric, Reading};
use super::series::{BOUNDS, Kind, MOST_OF_NODE, as_name};

/// Everything that this process measures. The facade is called from any thread and waits for nothing, hence the locks,
/// which are held for a look at the maps and no longer.
#[derive(Debug, Default)]
pub struct Registry {
    series: Mutex<HashMap<(Kind, Key), Cell>>,
    helps: Mutex<HashMap<String, SharedString>>,
    /// Of histograms that do not have the usual ones, by the name that Prometheus reads.
    bounds: HashMap<String, Arc<[f64]>>,
    /// The first name for which there was no room, until it is taken.
    left_out: OnceLock<Mutex<Option<String>>>,
}

/// What is measured.
#[derive(Clone, Debug)]
enum Cell {
    Counter(Arc<Count>),
    Gauge(Arc<Value>),
    Histogram(Arc<Values>),
}

#[derive(Debug, Default)]
struct Count(AtomicU64);

/// A number's bits.
#[derive(Debug, Default)]
struct Value(AtomicU64);

#[derive(Debug)]
struct Values {
    bounds: Arc<[f64]>,
    counts: Vec<AtomicU64>,
    sum: Value,
}

impl Registry {
    fn new(bounds: &[(String, Vec<f64>)]) -> Registry {
        let bounds = bounds.iter().map(|(name, bounds)| (as_name(name), bounds[..].into())).collect();
        Registry { bounds, ..Registry::default() }
    }

    /// Has the facade's macros measure here from now on; `None` where the program has a recorder of its own.
    pub fn install(bounds: &[(String, Vec<f64>)]) -> Option<Arc<Registry>> {
        let registry = Arc::new(Registry::new(bounds));
        ::metrics::set_global_recorder(registry.clone()).ok().map(|()| registry)
    }

    /// Everything as it is now.
    pub fn read(&self) -> Vec<Metric> {
        let metrics: Vec<_> = locked(&self.series).iter().map(|((_, key), cell)| metric(key, cell.read())).collect();
        let helps = locked(&self.helps);
        let described = |metric: Metric| match helps.get(&metric.name) {
            Some(help) => metric.help(help),
            None => metric,
        };
        metrics.into_iter().map(described).collect()
    }

    /// A line for the log, once, about series for which there was no room.
    pub fn take_refused(&self) -> Option<String> {
        let name = locked(self.left_out.get()?).take()?;
        Some(format!("more than {MOST_OF_NODE} series: {name} and others are not measured"))
    }

    /// The cell of this key, made if there is room for it.
    fn cell(&self, kind: Kind, key: &Key) -> Option<Cell> {
        let mut series = locked(&self.series);
        if let Some(cell) = series.get(&(kind, key.clone())) {
            return Some(cell.clone());
        }
        if series.len() == MOST_OF_NODE {
            self.left_out.get_or_init(|| Mutex::new(Some(key.name().to_owned())));
            return None;
        }
        let cell = self.make(kind, key.name());
        series.insert((kind, key.clone()), cell.clone());
        Some(cell)
    }

    fn make(&self, kind: Kind, name: &str) -> Cell {
        match kind {
            Kind::Counter => Cell::Counter(Arc::default()),
            Kind::Gauge => Cell::Gauge(Arc::default()),
            Kind::Histogram | Kind::Summary => {
                let bounds = self.bounds.get(&as_name(name)).cloned().unwrap_or_else(|| Arc::new(BOUNDS));
                let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
                Cell::Histogram(Arc::new(Values { bounds, counts, sum: Value::default() }))
            }
        }
    }

    fn describe(&self, name: &KeyName, help: SharedString) {
        let mut helps = locked(&self.helps);
        if helps.len() < MOST_OF_NODE {
            helps.insert(name.as_str().to_owned(), help);
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here panics half-way.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn metric(key: &Key, reading: Reading) -> Metric {
    let metric = Metric::new(key.name(), reading);
    key.labels().fold(metric, |metric, label| metric.label(label.key(), label.value()))
}

impl Cell {
    fn read(&self) -> Reading {
        match self {
            Cell::Counter(count) => Reading::Counter(count.0.load(Relaxed) as f64),
            Cell::Gauge(value) => Reading::Gauge(value.get(), None),
            Cell::Histogram(values) => Reading::Histogram {
                bounds: values.bounds.clone(),
                counts: values.counts.iter().map(|count| count.load(Relaxed)).collect(),
                sum: values.sum.get(),
            },
        }
    }
}

impl Recorder for Registry {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(Kind::Counter, key) {
            Some(Cell::Counter(count)) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(Kind::Gauge, key) {
            Some(Cell::Gauge(value)) => Gauge::from_arc(value),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.cell(Kind::Histogram, key) {
            Some(Cell::Histogram(values)) => Histogram::from_arc(values),
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
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.sum.add(value);
        self.counts[bucket].fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(registry: &Registry, name: &str) -> Metric {
        registry.read().into_iter().find(|metric| metric.name == name).expect("measured")
    }

    #[test]
    fn what_is_measured_is_read_with_labels_and_help() {
        let registry = Registry::default();
        ::metrics::with_local_recorder(&registry, || {
            ::metrics::describe_counter!("jobs", "Jobs that are done.");
            let jobs = ::metrics::counter!("jobs", "queue" => "mail");
            jobs.increment(2);
            ::metrics::counter!("jobs", "queue" => "mail").increment(3);
            let expected = Metric::counter("jobs", 5.0).label("queue", "mail").help("Jobs that are done.");
            assert_eq!(registry.read(), [expected]);
            ::metrics::gauge!("depth").set(4.0);
            ::metrics::gauge!("depth").decrement(1.5);
            assert_eq!(read(&registry, "depth"), Metric::gauge("depth", 2.5));
        });
    }

    #[test]
    fn histograms_have_the_usual_buckets_or_their_own() {
        let registry = Registry::new(&[("answer.bytes".to_owned(), vec![100.0, 1000.0])]);
        ::metrics::with_local_recorder(&registry, || {
            for value in [0.001, 0.005, 0.3, 99.0] {
                ::metrics::histogram!("seconds").record(value);
                ::metrics::histogram!("answer.bytes").record(value * 10.0);
            }
        });
        let Reading::Histogram { bounds, counts, sum } = read(&registry, "seconds").reading else {
            panic!("a histogram")
        };
        assert_eq!((&bounds[..], counts[0], counts[6], counts[BOUNDS.len()]), (&BOUNDS[..], 2, 1, 1));
        assert!((sum - 99.306).abs() < 1e-9);
        let own = Metric::histogram("answer.bytes", [(100.0, 3), (1000.0, 4)], 4, 993.06);
        assert_eq!(read(&registry, "answer.bytes"), own);
    }

    #[test]
    fn series_without_end_are_cut_off() {
        let registry = Registry::default();
        ::metrics::with_local_recorder(&registry, || {
            for number in 0..2 * MOST_OF_NODE {
                ::metrics::counter!("visits", "visitor" => number.to_string()).increment(1);
            }
            assert_eq!(registry.read().len(), MOST_OF_NODE);
            let line = registry.take_refused().expect("the first is named");
            assert_eq!(line, "more than 1000 series: visits and others are not measured");
            assert_eq!(registry.take_refused(), None);
        });
    }
}
