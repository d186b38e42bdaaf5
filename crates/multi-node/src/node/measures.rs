//! What the program measures, told to the master every second and at the end.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use super::run::{Outgoing, say};
use crate::Handle;
use crate::control::{NodeSettings, ToMaster};
#[cfg(feature = "metrics")]
use crate::metrics::Registry;
use crate::metrics::{DeltaTracker, Meter, Metric};
use crate::options::Metering;

/// How often the node reports to the master, and how long the program may take to give its metrics.
const EVERY: Duration = Duration::from_secs(1);

/// How long it may take at the end, which it delays.
const AT_THE_END: Duration = Duration::from_secs(1);

/// The most series in one message, whose length is limited.
const AT_ONCE: usize = 250;

/// Clones are the same.
#[derive(Clone)]
pub(super) struct Measures(Arc<Inner>);

struct Inner {
    metering: Metering,
    handle: Handle,
    outbox: mpsc::Sender<Outgoing>,
    reporting: StdMutex<Reporting>,
    /// Once a master has wanted to be told; locked while one is.
    books: OnceLock<Mutex<Vec<(Source, DeltaTracker)>>>,
    is_slow: AtomicBool,
}

/// What the present master wants.
#[derive(Clone, Copy, Default)]
struct Reporting {
    wanted: bool,
    all: bool,
    /// It does not know yet what its predecessor received.
    is_new: bool,
}

enum Source {
    /// What the library counts itself.
    Library(Handle),
    #[cfg(feature = "metrics")]
    Facade(Arc<Registry>),
    Program(Meter),
}

impl Measures {
    pub(super) fn new(metering: Metering, handle: Handle, outbox: mpsc::Sender<Outgoing>) -> Measures {
        let (reporting, books) = (StdMutex::default(), OnceLock::new());
        Measures(Arc::new(Inner { metering, handle, outbox, reporting, books, is_slow: AtomicBool::new(false) }))
    }

    /// Goes by what this master wants from now on.
    pub(super) fn heed(&self, settings: &NodeSettings) {
        *self.reporting() = Reporting { wanted: settings.measures, all: settings.measures_all, is_new: true };
        if settings.measures && self.0.books.get().is_none() {
            // They are set only here.
            let _ = self.0.books.set(Mutex::new(books(&self.0.metering, &self.0.handle)));
            tokio::spawn(self.clone().go_on());
        }
    }

    async fn go_on(self) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.0.outbox.is_closed() {
            every.tick().await;
            self.tell().await;
        }
    }

    /// Tells the last, unless that takes too long.
    pub(super) async fn tell_last(&self) {
        let _ = timeout(AT_THE_END, self.tell()).await;
    }

    /// Tells what is new, and returns when it is written or cannot be.
    async fn tell(&self) {
        let Some(books) = self.0.books.get() else { return };
        let mut books = books.lock().await;
        let reporting = self.take_reporting();
        if !reporting.wanted {
            return;
        }
        for (source, delta_tracker) in books.iter_mut() {
            if reporting.is_new {
                delta_tracker.begin_anew();
            }
            let Some(metrics) = self.read(source).await else { continue };
            let news = delta_tracker.news(metrics, reporting.all);
            delta_tracker.take_refused().iter().for_each(|line| crate::log::warn!(target: "multi_node", "{line}"));
            for series in news.chunks(AT_ONCE) {
                say(&self.0.outbox, ToMaster::Measured { series: series.to_vec() }).await;
            }
        }
    }

    async fn read(&self, source: &Source) -> Option<Vec<Metric>> {
        match source {
            Source::Library(handle) => Some(handle.own_metrics()),
            #[cfg(feature = "metrics")]
            Source::Facade(registry) => {
                if let Some(line) = registry.take_refused() {
                    crate::log::warn!(target: "multi_node", "{line}");
                }
                Some(registry.read())
            }
            Source::Program(meter) => {
                let read = timeout(EVERY, asked(meter)).await.ok().flatten();
                if read.is_none() && !self.0.is_slow.swap(true, Relaxed) {
                    crate::log::warn!(target: "multi_node", "the program did not say within {EVERY:?} what it has measured, or panicked; it is asked again");
                }
                read
            }
        }
    }

    fn reporting(&self) -> MutexGuard<'_, Reporting> {
        // Nothing in here panics half-way.
        self.0.reporting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_reporting(&self) -> Reporting {
        let mut reporting = self.reporting();
        let taken = *reporting;
        reporting.is_new = false;
        taken
    }
}

/// In a task of its own, so that a panic ends only that; `None` after one. Dropping the future cancels it.
async fn asked(meter: &Meter) -> Option<Vec<Metric>> {
    let (mut task, meter) = (JoinSet::new(), meter.clone());
    task.spawn(async move { meter.read().await });
    task.join_next().await?.ok()
}

fn books(metering: &Metering, handle: &Handle) -> Vec<(Source, DeltaTracker)> {
    let sources = metering.meter.clone().map(Source::Program).into_iter();
    #[cfg(feature = "metrics")]
    let sources = sources.chain(facade(metering).map(Source::Facade));
    let books = sources.map(|source| (source, DeltaTracker::new(metering.gauges.clone())));
    books.chain([(Source::Library(handle.clone()), DeltaTracker::of_library())]).collect()
}

/// Nothing, where the program has a recorder of its own.
#[cfg(feature = "metrics")]
fn facade(metering: &Metering) -> Option<Arc<Registry>> {
    let registry = Registry::install(&metering.buckets);
    if registry.is_none() {
        crate::log::warn!(target: "multi_node", "the program has a recorder of its own, so the master is not told what it measures");
    }
    registry
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const SETTINGS: NodeSettings = NodeSettings {
        drain_timeout: Duration::ZERO,
        heartbeat: None,
        signals: false,
        measures: true,
        measures_all: true,
        mesh_files: 0,
        own_sockets: true,
    };

    fn jobs() -> Vec<Metric> {
        vec![Metric::counter("jobs", 0.5), Metric::gauge("depth", 1.0)]
    }

    /// What of the program is asked, and the master's end.
    fn measures(meter: Meter) -> (Measures, mpsc::Receiver<Outgoing>) {
        let (outbox, messages) = mpsc::channel(8);
        let metering = Metering { meter: Some(meter), ..Metering::default() };
        (Measures::new(metering, Handle::detached(), outbox), messages)
    }

    /// The names of what the master receives next.
    async fn heard(messages: &mut mpsc::Receiver<Outgoing>) -> Vec<String> {
        match messages.recv().await {
            Some((ToMaster::Measured { series }, _)) => series.into_iter().map(|series| series.name).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_before_a_master_wants_to_know_and_its_successor_is_told_too() {
        let (measures, mut messages) = measures(Meter::new(|| async { jobs() }));
        measures.heed(&NodeSettings { measures: false, ..SETTINGS });
        measures.tell_last().await;
        assert!(messages.try_recv().is_err());
        measures.heed(&NodeSettings { measures_all: false, ..SETTINGS });
        assert_eq!(heard(&mut messages).await, ["jobs", "depth"]);
        measures.heed(&SETTINGS);
        assert_eq!(heard(&mut messages).await, ["jobs", "depth"], "the rest of the counter, and the gauge again");
        measures.heed(&NodeSettings { measures: false, ..SETTINGS });
        measures.tell_last().await;
        assert!(messages.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_does_not_answer_or_panics_is_asked_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let meter = Meter::new(move || {
            let before = asked.fetch_add(1, Relaxed);
            async move {
                match before {
                    0 => pending().await,
                    1 => panic!("as ordered"),
                    _ => jobs(),
                }
            }
        });
        let (measures, mut messages) = measures(meter);
        measures.heed(&SETTINGS);
        assert_eq!(heard(&mut messages).await, ["jobs", "depth"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_nobody_for_long() {
        let (measures, messages) = measures(Meter::new(pending));
        measures.heed(&SETTINGS);
        let began = tokio::time::Instant::now();
        measures.tell_last().await;
        assert!(began.elapsed() <= AT_THE_END);
        drop(messages);
    }
}
