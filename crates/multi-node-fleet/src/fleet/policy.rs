//! What the rules go by.

use std::time::Duration;

use super::{Canary, Recycling};

/// The numbers that the rules go by; all have been checked.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How many slots at the start.
    pub nodes: usize,
    /// The most slots that `scale` may ask for.
    pub max_nodes: usize,
    /// The most for which the limit of open files has room.
    pub room_for: usize,
    /// Whether nodes that end unasked are replaced.
    pub restart: bool,
    pub backoff: Backoff,
    /// How many unrequested exits within what time are a crash loop.
    pub crash_loop: CrashLoop,
    /// Whether a reload replaces slot by slot. Otherwise all new nodes start beside the old ones, which serve until every
    /// new one has proved itself.
    pub rolling: bool,
    /// How many new nodes a rolling reload may start ahead of the old ones; 0 stops the old one first.
    pub surge: usize,
    /// How long a new node has to serve before the master drains the old node of its slot.
    pub settle: Duration,
    /// From a node's start until it is ready.
    pub start_timeout: Duration,
    /// From the command to drain until the node is killed.
    pub drain_timeout: Duration,
    /// From the command to shut down until the nodes drain.
    pub shutdown_delay: Duration,
    /// How long a serving or draining node's runtime may be silent; `None`: for ever.
    pub hang_timeout: Option<Duration>,
    /// Whether all nodes give signs of life, and not only those that turn out to link this crate.
    pub all_beat: bool,
    /// Whether nodes run the master's own program, which has to reach `listen` in each of them.
    pub same_program: bool,
    pub recycling: Recycling,
    /// Whether the first new node of a reload is tried before the others follow; not with `surge` 0.
    pub canary: Option<Canary>,
}

/// How long a slot rests before its next node is started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub initial: Duration,
    pub max: Duration,
    /// The share of the delay by which it may be shorter or longer, 0.0 to 1.0.
    pub jitter: f64,
}

impl Backoff {
    /// The pause after this number of exits without a stable run in between, without jitter.
    pub fn pause(self, ends_before: u32) -> Duration {
        let Some(doublings) = ends_before.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.max)
    }

    /// What is left of the shortest time between two starts, after a process that has lived for so long.
    pub fn spacing(self, lived: Duration) -> Duration {
        self.initial.saturating_sub(lived)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashLoop {
    pub deaths: usize,
    pub within: Duration,
}

impl Policy {
    /// What most tests go by.
    #[doc(hidden)]
    pub fn of_tests(nodes: usize) -> Policy {
        Policy {
            nodes,
            max_nodes: 8,
            room_for: usize::MAX,
            restart: true,
            backoff: Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(30), jitter: 0.0 },
            crash_loop: CrashLoop { deaths: 5, within: Duration::from_secs(60) },
            rolling: true,
            surge: 1,
            settle: Duration::ZERO,
            start_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::ZERO,
            hang_timeout: None,
            all_beat: true,
            same_program: true,
            recycling: Recycling::default(),
            canary: None,
        }
    }
}
