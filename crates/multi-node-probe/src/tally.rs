//! What all clients met.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::{
    failure::{Failure, How},
    kind::Kind,
};

/// Lost requests whose details are kept; further ones are counted only.
const MOST_PARTICULARS: usize = 100_000;

/// The longest latency that is recorded exactly, in microseconds.
const LONGEST: u64 = 60_000_000;

/// The count of all clients of a load, by phase and kind. Cloned, it is the same count.
#[derive(Debug, Clone)]
pub struct Tally(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    phase: &'static str,
    counts: BTreeMap<(&'static str, Kind), Counts>,
    lost: Vec<Lost>,
    /// Since when a request was lost and none was answered.
    unanswered_since: Option<Instant>,
    longest_outage: Duration,
}

/// What clients met.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Requests with their answer; messages of a WebSocket with their echo.
    pub answered: u64,
    pub lost: BTreeMap<How, u64>,
    /// Connections that the server closed while their client had nothing under way, which is no loss.
    pub closed_idle: u64,
    /// Connections whose end the server announced: `connection: close`, or a WebSocket's close frame.
    pub announced: u64,
    /// From a request to its whole answer, in microseconds, connecting included.
    pub latency: Histogram<u32>,
    /// The longest that a client has waited, with or without an answer in the end.
    pub worst: Duration,
}

/// A request under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    kind: Kind,
    begun: &'static str,
}

/// A lost request.
#[derive(Debug, Clone)]
pub struct Lost {
    pub kind: Kind,
    pub failure: Failure,
    pub phase: &'static str,
    pub at: Instant,
    /// The client's port and when it connected, where it came to that.
    pub connection: Option<(u16, Instant)>,
}

impl Tally {
    /// The phase of a load while nothing is done to the server.
    pub const CALM: &'static str = "calm";

    pub(crate) fn new() -> Tally {
        Tally(Arc::new(Mutex::new(State {
            phase: Tally::CALM,
            counts: BTreeMap::new(),
            lost: Vec::new(),
            unanswered_since: None,
            longest_outage: Duration::ZERO,
        })))
    }

    /// From now on, what is met is met in this phase.
    pub fn enter(&self, phase: &'static str) {
        self.state().phase = phase;
    }

    pub fn phase(&self) -> &'static str {
        self.state().phase
    }

    /// Requests answered so far.
    pub fn answered(&self) -> u64 {
        self.state().counts.values().map(|counts| counts.answered).sum()
    }

    /// All lost requests so far, as far as their particulars are kept.
    pub fn lost(&self) -> Vec<Lost> {
        self.state().lost.clone()
    }

    /// The longest time from when a request was sent that was lost to the next answer of any client; `now`: to when, where
    /// there was none yet.
    pub fn longest_outage(&self, now: Instant) -> Duration {
        let counts = self.state();
        let going_on = counts.unanswered_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        counts.longest_outage.max(going_on)
    }

    /// The sum of what was met in some phases by some kinds of clients.
    pub fn sum(&self, wanted: impl Fn(&'static str, Kind) -> bool) -> Counts {
        let counts = self.state();
        let counts = counts.counts.iter().filter(|((phase, kind), _)| wanted(phase, *kind)).map(|(_, counts)| counts);
        counts.fold(Counts::default(), Counts::plus)
    }

    /// A client begins with a request. It counts as calm only if it began and ended so.
    pub(crate) fn begin(&self, kind: Kind) -> Attempt {
        Attempt { kind, begun: self.phase() }
    }

    pub(crate) fn answered_after(&self, Attempt { kind, begun }: Attempt, waited: Duration) {
        self.count(kind, begun, |counts| {
            counts.answered += 1;
            counts.latency.saturating_record(waited.as_micros().try_into().unwrap_or(u64::MAX));
            counts.worst = counts.worst.max(waited);
        });
        self.state().end_outage(Instant::now());
    }

    pub(crate) fn lose(
        &self,
        Attempt { kind, begun }: Attempt,
        failure: Failure,
        waited: Duration,
        connection: Option<(u16, Instant)>,
    ) {
        let phase = self.count(kind, begun, |counts| {
            *counts.lost.entry(failure.how).or_default() += 1;
            counts.worst = counts.worst.max(waited);
        });
        let (mut counts, now) = (self.state(), Instant::now());
        counts.unanswered_since.get_or_insert(now.checked_sub(waited).unwrap_or(now));
        if counts.lost.len() < MOST_PARTICULARS {
            counts.lost.push(Lost { kind, failure, phase, at: now, connection });
        }
    }

    pub(crate) fn closed_idle(&self, kind: Kind) {
        self.count(kind, Tally::CALM, |counts| counts.closed_idle += 1);
    }

    pub(crate) fn announced(&self, kind: Kind) {
        self.count(kind, Tally::CALM, |counts| counts.announced += 1);
    }

    fn count(&self, kind: Kind, begun: &'static str, add: impl FnOnce(&mut Counts)) -> &'static str {
        let mut counts = self.state();
        let phase = if counts.phase == Tally::CALM { begun } else { counts.phase };
        add(counts.counts.entry((phase, kind)).or_default());
        phase
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end_outage(&mut self, now: Instant) {
        if let Some(since) = self.unanswered_since.take() {
            self.longest_outage = self.longest_outage.max(now.saturating_duration_since(since));
        }
    }
}

impl Default for Counts {
    fn default() -> Counts {
        let latency = Histogram::new_with_bounds(1, LONGEST, 2).expect("bounds and digits are allowed");
        Counts { answered: 0, lost: BTreeMap::new(), closed_idle: 0, announced: 0, latency, worst: Duration::ZERO }
    }
}

impl Counts {
    /// All lost requests, however they were lost.
    pub fn all_lost(&self) -> u64 {
        self.lost.values().sum()
    }

    /// The latency that this percentage of the requests stayed within, in milliseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_quantile(percent / 100.0) as f64 / 1e3
    }

    fn plus(mut self, other: &Counts) -> Counts {
        self.answered += other.answered;
        self.closed_idle += other.closed_idle;
        self.announced += other.announced;
        self.worst = self.worst.max(other.worst);
        for (how, count) in &other.lost {
            *self.lost.entry(*how).or_default() += count;
        }
        self.latency.add(&other.latency).expect("a histogram of the same bounds");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_ends_in_a_phase_is_of_it() {
        let tally = Tally::new();
        let attempt = tally.begin(Kind::Slow);
        tally.enter("deploy");
        tally.answered_after(attempt, Duration::from_millis(300));
        let attempt = tally.begin(Kind::Slow);
        tally.enter(Tally::CALM);
        tally.lose(attempt, Failure::new(How::Reset, "no"), Duration::from_millis(400), None);
        let deploy = tally.sum(|phase, _| phase == "deploy");
        assert_eq!((deploy.answered, deploy.all_lost()), (1, 1));
        assert_eq!(deploy.worst, Duration::from_millis(400));
        assert_eq!(tally.sum(|phase, _| phase == Tally::CALM).answered, 0);
        assert_eq!(tally.lost()[0].phase, "deploy");
    }

    #[test]
    fn an_outage_lasts_from_a_lost_request_to_an_answer() {
        let tally = Tally::new();
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(tally.longest_outage(begin + second), Duration::ZERO);
        tally.lose(tally.begin(Kind::New), Failure::new(How::TimedOut, "no"), second / 2, None);
        let so_far = tally.longest_outage(begin + second);
        assert!(so_far >= second && so_far <= 2 * second, "{so_far:?}");
        tally.answered_after(tally.begin(Kind::New), second);
        let whole = tally.longest_outage(begin + 10 * second);
        assert!(whole >= second / 2 && whole < 9 * second, "{whole:?}");
    }

    #[test]
    fn percentiles_are_milliseconds() {
        let tally = Tally::new();
        for ms in 1..=100 {
            tally.answered_after(tally.begin(Kind::Slow), Duration::from_millis(ms));
        }
        let p99 = tally.sum(|_, _| true).percentile(99.0);
        assert!((98.0..=101.0).contains(&p99), "{p99}");
    }
}
