//! What the rules go by.

use std::time::Duration;

use super::{Canary, Recycling};

/// The numbers that the rules go by; all have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// How many slots at the start.
    pub(crate) nodes: usize,
    /// The most slots that `scale` may ask for.
    pub(crate) max_nodes: usize,
    /// The most for which the limit of open files has room.
    pub(crate) room_for: usize,
    /// Whether nodes that end unasked are replaced.
    pub(crate) restart: bool,
    pub(crate) backoff: Backoff,
    /// So many unasked ends within such a time are a crash loop.
    pub(crate) crash_loop: CrashLoop,
    /// Whether a reload replaces slot by slot. Otherwise all new nodes start beside the old ones, which serve until every
    /// new one has proved itself.
    pub(crate) rolling: bool,
    /// How many new nodes a rolling reload may start ahead of the old ones; 0 stops the old one first.
    pub(crate) surge: usize,
    /// How long a new node has to serve before the old one of its slot is told to end.
    pub(crate) settle: Duration,
    /// From a node's start until it is ready.
    pub(crate) start_timeout: Duration,
    /// From the order to drain until the node is killed.
    pub(crate) drain_timeout: Duration,
    /// From the order to shut down until the nodes drain.
    pub(crate) shutdown_delay: Duration,
    /// How long a serving or draining node's runtime may be silent; `None`: for ever.
    pub(crate) hang_timeout: Option<Duration>,
    /// Whether all nodes give signs of life, and not only those that turn out to link this crate.
    pub(crate) all_beat: bool,
    /// Whether nodes run the master's own program, which has to reach `listen` in each of them.
    pub(crate) same_program: bool,
    pub(crate) recycling: Recycling,
    /// Whether the first new node of a reload is tried before the others follow; not with `surge` 0.
    pub(crate) canary: Option<Canary>,
}

/// How long a slot rests before its next node is started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
    /// The share of the delay by which it may be shorter or longer, 0.0 to 1.0.
    pub(crate) jitter: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CrashLoop {
    pub(crate) deaths: usize,
    pub(crate) within: Duration,
}
