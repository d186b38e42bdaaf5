//! When a slot's next node is started: at once the first time, then after growing pauses. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fleet::{Backoff, CrashLoop};

/// The numbers that decide over restarts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) backoff: Backoff,
    pub(super) crash_loop: CrashLoop,
}

impl Rules {
    /// How long a node must have served for what came before it to be forgiven.
    fn stable(&self) -> Duration {
        self.crash_loop.within.max(self.backoff.max)
    }

    /// The pause after so many ends without a stable run between them, without jitter.
    fn pause(&self, ends_before: u32) -> Duration {
        let Some(doublings) = ends_before.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.backoff.initial.saturating_mul(factor).min(self.backoff.max)
    }
}

/// How a node parted from its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// It ended unasked, which counts towards a crash loop.
    Died,
    /// It drains of itself, which lengthens the pauses but is no crash.
    Left,
}

/// What follows a node's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    /// How long the slot rests.
    pub(super) after: Duration,
    /// Whether this end makes a crash loop of the ones before it; said once, until a node has run stably.
    pub(super) loops: bool,
}

/// What a slot remembers of its nodes' ends.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    /// Ends since the last stable run.
    ends: u32,
    /// When the latest nodes died, as many as make a crash loop.
    deaths: VecDeque<Instant>,
    looping: bool,
}

impl Restarts {
    /// Takes in that the slot's node parted after it had served for so long.
    pub(super) fn parted(
        &mut self,
        now: Instant,
        parting: Parting,
        served: Duration,
        rules: &Rules,
        jitter: &mut Jitter,
    ) -> Pause {
        if served >= rules.stable() {
            *self = Restarts::default();
        }
        let loops = parting == Parting::Died && !self.looping && self.death_makes_loop(now, rules.crash_loop);
        self.looping |= loops;
        let pause = if self.looping { rules.backoff.max } else { rules.pause(self.ends) };
        self.ends = self.ends.saturating_add(1);
        Pause { after: jitter.vary(pause, rules.backoff.jitter), loops }
    }

    fn death_makes_loop(&mut self, now: Instant, limit: CrashLoop) -> bool {
        self.deaths.push_back(now);
        while self.deaths.len() > limit.deaths.max(1) {
            self.deaths.pop_front();
        }
        self.deaths.retain(|&death| now.saturating_duration_since(death) <= limit.within);
        self.deaths.len() >= limit.deaths
    }
}

/// A small seeded source of chance (SplitMix64), so that the same seed gives the same pauses.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// The pause, shorter or longer by up to this share of it.
    fn vary(&mut self, pause: Duration, share: f64) -> Duration {
        let factor = 1.0 + share * (2.0 * self.fraction() - 1.0);
        Duration::try_from_secs_f64(pause.as_secs_f64() * factor).unwrap_or(pause)
    }

    /// Evenly spread over 0.0 to 1.0.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_millis(10);
    const STABLE: Duration = Duration::from_secs(60);

    fn rules(deaths: usize, jitter: f64) -> Rules {
        Rules {
            backoff: Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(30), jitter },
            crash_loop: CrashLoop { deaths, within: STABLE },
        }
    }

    /// The pauses after one node after another has parted, a second apart.
    fn pauses(rules: &Rules, parting: Parting, count: usize) -> Vec<u128> {
        let (mut restarts, mut jitter, start) = (Restarts::default(), Jitter::new(7), Instant::now());
        (0..count)
            .map(|n| {
                let now = start + Duration::from_secs(n as u64);
                restarts.parted(now, parting, BRIEF, rules, &mut jitter).after.as_millis()
            })
            .collect()
    }

    #[test]
    fn the_first_end_costs_nothing_and_then_pauses_double_up_to_the_longest() {
        let expected = [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];
        assert_eq!(pauses(&rules(100, 0.0), Parting::Died, 12), expected);
        assert_eq!(pauses(&rules(5, 0.0), Parting::Left, 12), expected, "leaving never makes a crash loop");
    }

    #[test]
    fn a_crash_loop_goes_to_the_longest_pause_and_is_said_once() {
        let (rules, mut restarts, mut jitter) = (rules(3, 0.0), Restarts::default(), Jitter::new(7));
        let now = Instant::now();
        let mut part = |served| restarts.parted(now, Parting::Died, served, &rules, &mut jitter);
        let said: Vec<_> = (0..5).map(|_| part(BRIEF)).map(|p| (p.after.as_millis(), p.loops)).collect();
        assert_eq!(said, [(0, false), (100, false), (30_000, true), (30_000, false), (30_000, false)]);
        assert_eq!(part(STABLE), Pause { after: Duration::ZERO, loops: false }, "a stable run is a new beginning");
    }

    #[test]
    fn deaths_further_apart_than_the_window_are_no_crash_loop() {
        let (rules, mut restarts, mut jitter) = (rules(3, 0.0), Restarts::default(), Jitter::new(7));
        let start = Instant::now();
        for n in 0..10 {
            let now = start + Duration::from_secs(31) * n;
            assert!(!restarts.parted(now, Parting::Died, BRIEF, &rules, &mut jitter).loops, "death {n}");
        }
    }

    #[test]
    fn jitter_stays_within_its_share_and_repeats_with_the_seed() {
        let varied = pauses(&rules(100, 0.2), Parting::Died, 20);
        let plain = pauses(&rules(100, 0.0), Parting::Died, 20);
        for (&varied, &plain) in varied.iter().zip(&plain) {
            assert!(varied * 10 + 10 >= plain * 8 && varied * 10 <= plain * 12, "{varied} for {plain}");
        }
        assert_ne!(varied, plain);
        assert_eq!(varied, pauses(&rules(100, 0.2), Parting::Died, 20));
    }

    #[test]
    fn the_longest_durations_there_are_do_not_overflow() {
        let mut rules = rules(1, 1.0);
        rules.backoff = Backoff { initial: Duration::MAX, max: Duration::MAX, jitter: 1.0 };
        assert_eq!(pauses(&rules, Parting::Left, 100).len(), 100);
    }
}
