//! How much is allowed: the generic cell rate algorithm (GCRA), in which a key's state is one time.
//!
//! The time is the *theoretical arrival time* of ITU-T I.371: from then on nothing that the key did counts any more. Each event moves it on
//! by the interval between two events at the allowed rate. An event that would move it further ahead of now than a whole burst is denied.

use std::time::Duration;

/// How many events a key may have in a span of time. All of them may come at once; after that, each interval (`per / limit`) allows one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    burst: u64,
    interval_ns: u64,
}

/// Why a quota is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// Nothing would be allowed.
    #[error("a limit has to be at least 1")]
    Zero,
    /// The events are more than one a nanosecond, or the time is above a year.
    #[error("{limit} in {per:?} cannot be counted; at most one event a nanosecond, and a year")]
    Rate {
        /// How many.
        limit: u64,
        /// In which time.
        per: Duration,
    },
}

/// The event is allowed, and was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowed {
    /// How many more events are allowed now.
    pub remaining: u64,
    /// When the whole burst is allowed again, if nothing comes until then.
    pub reset_after: Duration,
}

/// The event is denied, and was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit is reached; the next event is allowed in {retry_after:?}")]
#[non_exhaustive]
pub struct Denied {
    /// When the next event is allowed.
    pub retry_after: Duration,
}

impl Allowed {
    /// Of a key that is not counted.
    pub(crate) fn unlimited(quota: &Quota) -> Allowed {
        Allowed { remaining: quota.burst - 1, reset_after: Duration::from_nanos(quota.interval_ns) }
    }
}

/// The longest time, which leaves room for sums of times.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

impl Quota {
    /// `limit` events in the time `per`. All of them may come at once.
    ///
    /// # Errors
    /// [`QuotaError`] for none, for more than one a nanosecond, and for more than a year.
    pub fn new(limit: u64, per: Duration) -> Result<Quota, QuotaError> {
        if limit == 0 {
            return Err(QuotaError::Zero);
        }
        let ns = u64::try_from(per.as_nanos()).ok().filter(|_| per <= LONGEST);
        match ns.map(|ns| ns / limit) {
            Some(interval_ns) if interval_ns > 0 => Ok(Quota { burst: limit, interval_ns }),
            _ => Err(QuotaError::Rate { limit, per }),
        }
    }

    /// `limit` events per second.
    ///
    /// # Panics
    /// For 0, and for more than a billion.
    pub fn per_second(limit: u64) -> Quota {
        Quota::of(limit, 1)
    }

    /// `limit` events per minute.
    ///
    /// # Panics
    /// For 0, and for more than one a nanosecond.
    pub fn per_minute(limit: u64) -> Quota {
        Quota::of(limit, 60)
    }

    /// `limit` events per hour.
    ///
    /// # Panics
    /// For 0, and for more than one a nanosecond.
    pub fn per_hour(limit: u64) -> Quota {
        Quota::of(limit, 3600)
    }

    fn of(limit: u64, seconds: u64) -> Quota {
        match Quota::new(limit, Duration::from_secs(seconds)) {
            Ok(quota) => quota,
            Err(error) => panic!("{error}"),
        }
    }

    /// Changes how many events may come at once. The rate stays the same.
    ///
    /// # Errors
    /// [`QuotaError`] for none, and where the burst would be the events of more than a year.
    pub fn burst(self, events: u64) -> Result<Quota, QuotaError> {
        let per = events.checked_mul(self.interval_ns).map(Duration::from_nanos);
        match per.filter(|per| *per <= LONGEST) {
            _ if events == 0 => Err(QuotaError::Zero),
            Some(_) => Ok(Quota { burst: events, ..self }),
            None => Err(QuotaError::Rate { limit: events, per: LONGEST }),
        }
    }

    /// How many may come at once.
    pub fn limit(&self) -> u64 {
        self.burst
    }

    /// In which time the whole burst comes back.
    pub fn window(&self) -> Duration {
        Duration::from_nanos(self.burst * self.interval_ns)
    }

    /// An event now, at a key of this time: the key's next time, or why it is denied.
    pub(crate) fn event(&self, time: u64, now: u64) -> Result<(u64, Allowed), Denied> {
        let next = time.max(now).saturating_add(self.interval_ns);
        let ahead = next - now;
        let most = self.burst * self.interval_ns;
        if ahead > most {
            return Err(Denied { retry_after: Duration::from_nanos(ahead - most) });
        }
        let remaining = (most - ahead) / self.interval_ns;
        Ok((next, Allowed { remaining, reset_after: Duration::from_nanos(ahead) }))
    }

    /// The time of a key of which one event less counts. A quiet key stays as it is.
    pub(crate) fn without_event(&self, time: u64, now: u64) -> u64 {
        if time <= now { time } else { time.saturating_sub(self.interval_ns).max(now) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_is_allowed_and_then_one_an_interval() {
        let quota = Quota::per_second(4);
        let mut time = 0;
        let mut event = |now| {
            quota.event(time, now).map(|(next, allowed)| {
                time = next;
                allowed.remaining
            })
        };
        assert_eq!((0..4).map(|_| event(SECOND)).collect::<Vec<_>>(), [Ok(3), Ok(2), Ok(1), Ok(0)]);
        assert_eq!(event(SECOND), Err(Denied { retry_after: Duration::from_millis(250) }));
        assert_eq!(event(SECOND + SECOND / 4), Ok(0));
        assert_eq!(event(10 * SECOND), Ok(3), "a quiet key may do all again");
    }

    #[test]
    fn what_is_no_quota_is_refused() {
        let second = Duration::from_secs(1);
        assert_eq!(Quota::new(0, second), Err(QuotaError::Zero));
        assert!(Quota::new(SECOND + 1, second).is_err() && Quota::new(SECOND, second).is_ok());
        assert!(Quota::new(1, LONGEST * 2).is_err() && Quota::new(1, Duration::MAX).is_err());
        assert_eq!(Quota::per_second(1).burst(0), Err(QuotaError::Zero));
        assert!(Quota::per_hour(1).burst(u64::MAX).is_err());
        assert_eq!(Quota::per_second(10).burst(3).map(|quota| quota.limit()), Ok(3));
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_limit_and_its_burst(limit in 1_u64..50, steps in prop::collection::vec(0_u64..200_000_000, 1..300)) {
            let quota = Quota::per_second(limit);
            let (mut time, mut now, mut allowed) = (0, 0, Vec::new());
            for step in steps {
                now += step;
                if let Ok((next, _)) = quota.event(time, now) {
                    time = next;
                    allowed.push(now);
                }
            }
            for (index, from) in allowed.iter().enumerate() {
                let within = allowed[index..].iter().take_while(|at| **at < from + SECOND).count() as u64;
                // A burst, and what its second lets through beside it.
                prop_assert!(within <= 2 * limit, "{within} of {limit}");
                let at_once = allowed[index..].iter().take_while(|at| *at == from).count() as u64;
                prop_assert!(at_once <= limit);
            }
        }

        #[test]
        fn who_waits_as_told_is_allowed(limit in 1_u64..1000, events in 1_u64..2000) {
            let quota = Quota::per_second(limit);
            let mut time = 0;
            for _ in 0..events {
                match quota.event(time, SECOND) {
                    Ok((next, _)) => time = next,
                    Err(denied) => {
                        let later = SECOND + u64::try_from(denied.retry_after.as_nanos()).expect("short");
                        prop_assert!(quota.event(time, later).is_ok() && quota.event(time, later - 1).is_err());
                    }
                }
            }
        }
    }
}
