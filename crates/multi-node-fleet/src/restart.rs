//! When a slot's next node is started: at once the first time, then after growing pauses. Pure.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::fleet::{Backoff, CrashLoop};

/// The longest pause after a node has left while no other one serves.
const LONGEST_WITHOUT_SERVICE: Duration = Duration::from_secs(1);

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

    /// The longest pause after this node: short if no other node serves.
    fn longest(&self, node: Parted) -> Duration {
        match node.parting {
            _ if node.others_serve || node.served.is_none() => Duration::MAX,
            // Nodes that drain still must not pile up.
            Parting::Left => LONGEST_WITHOUT_SERVICE.max(self.backoff.initial),
            Parting::Died | Parting::Finished => self.backoff.spacing(node.lived),
        }
    }
}

/// How a node parted from its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// It ended unasked, which counts towards a crash loop.
    Died,
    /// It drains on its own initiative, which lengthens the pauses but is no crash.
    Left,
    /// It served and then ended with success, as programs do that limit the requests of a process: the program recycles it.
    Finished,
}

/// A node that has parted from its slot unasked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parted {
    pub(super) parting: Parting,
    /// Since its process was started.
    pub(super) lived: Duration,
    /// Since it was ready; `None`: it never was.
    pub(super) served: Option<Duration>,
    /// Whether another node serves.
    pub(super) others_serve: bool,
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
    pub(super) ends: u32,
    /// When the latest nodes died, as many as make a crash loop.
    pub(super) deaths: VecDeque<Instant>,
    pub(super) looping: bool,
}

impl Restarts {
    /// Takes in that the slot's node parted.
    pub(super) fn parted(&mut self, now: Instant, node: Parted, rules: &Rules, jitter: &mut Jitter) -> Pause {
        if node.served.is_some_and(|served| served >= rules.stable()) {
            *self = Restarts::default();
        }
        if node.parting == Parting::Finished {
            return Pause { after: rules.backoff.spacing(node.lived), loops: false };
        }
        let loops = node.parting == Parting::Died && !self.looping && self.death_makes_loop(now, rules.crash_loop);
        self.looping |= loops;
        let pause = if self.looping { rules.backoff.max } else { rules.backoff.pause(self.ends) };
        self.ends = self.ends.saturating_add(1);
        Pause { after: jitter.vary(pause, rules.backoff.jitter).min(rules.longest(node)), loops }
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
    pub(super) fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}
