//! When it is plain that a node will never use the socket that it was given, long before its start has timed out. Pure.

use std::time::{Duration, Instant};

/// How long a node has that we may not look at, or that was started in a way which is known not to work.
const SHORT: Duration = Duration::from_secs(2);

/// How long it has where it only seems so: it waits for connections elsewhere and does nothing else.
const LONG: Duration = Duration::from_secs(10);

/// A program that uses more of a processor than this share is still at work: it may yet listen.
const IDLE: f64 = 0.05;

/// What is seen of a node in which no process waits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// We may look at none of its processes.
    pub(super) is_hidden: bool,
    /// It listens elsewhere, and its command line says that it will not listen where it should.
    pub(super) is_mistaken: bool,
    /// It waits for connections elsewhere.
    pub(super) waits_elsewhere: bool,
    /// The processor time that its processes have used.
    pub(super) cpu: Duration,
}

/// Since when it has seemed so.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    hidden: Option<Instant>,
    mistaken: Option<Instant>,
    idle: Option<(Instant, Duration)>,
}

impl Suspicion {
    /// Takes in what is seen now. True: it is plain.
    pub(super) fn is_certain(&mut self, now: Instant, seen: &Seen) -> bool {
        let since = |since: &mut Option<Instant>, is: bool| {
            *since = is.then(|| since.unwrap_or(now));
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
        };
        let hidden = since(&mut self.hidden, seen.is_hidden);
        let mistaken = since(&mut self.mistaken, seen.is_mistaken);
        hidden.max(mistaken) >= SHORT || self.idles(now, seen) >= LONG
    }

    /// For how long it has waited elsewhere without doing anything else.
    fn idles(&mut self, now: Instant, seen: &Seen) -> Duration {
        let (since, cpu) = self.idle.filter(|_| seen.waits_elsewhere).unwrap_or((now, seen.cpu));
        let time = now.saturating_duration_since(since);
        let is_idle = seen.cpu.saturating_sub(cpu).as_secs_f64() <= IDLE * time.as_secs_f64() + 0.02;
        self.idle = seen.waits_elsewhere.then_some(if is_idle { (since, cpu) } else { (now, seen.cpu) });
        if is_idle { time } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen every half second; returns after how many looks it was certain.
    fn certain(seen: impl Fn(u32) -> Seen) -> Option<u32> {
        let (mut suspicion, start) = (Suspicion::default(), Instant::now());
        (0..60).find(|look| suspicion.is_certain(start + Duration::from_millis(500) * *look, &seen(*look)))
    }

    #[test]
    fn what_is_known_not_to_work_is_given_two_seconds() {
        assert_eq!(certain(|_| Seen { is_mistaken: true, ..Seen::default() }), Some(4));
        assert_eq!(certain(|_| Seen { is_hidden: true, ..Seen::default() }), Some(4));
        assert_eq!(certain(|look| Seen { is_hidden: look != 3, ..Seen::default() }), Some(8), "it was seen meanwhile");
        assert_eq!(certain(|_| Seen::default()), None);
    }

    #[test]
    fn one_that_listens_elsewhere_is_given_ten_idle_seconds() {
        let idle = Seen { waits_elsewhere: true, ..Seen::default() };
        assert_eq!(certain(|_| idle), Some(20));
        // It loads something for 5 s, beside an address for its metrics.
        let busy = |look: u32| Seen { cpu: Duration::from_millis(100) * look.min(10), ..idle };
        assert_eq!(certain(busy), Some(30));
        assert_eq!(certain(|look| Seen { cpu: Duration::from_millis(100) * look, ..idle }), None, "it is at work");
        assert_eq!(certain(|look| Seen { waits_elsewhere: look % 8 != 0, ..idle }), None, "it does not stay there");
    }
}
