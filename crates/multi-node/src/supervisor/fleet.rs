//! The rules: which node is started, joined, drained, killed and replaced, and when.
//!
//! [`Fleet`] owns all state and performs nothing: an [`Event`] and the time go in, [`Action`]s come out.

use std::time::{Duration, Instant, SystemTime};

use crate::id::{Generation, NodeId, Slot};
use crate::order::{Order, OrderError, Report};
use crate::status::{Exit, State, Status};

/// Which order an answer belongs to; given out by the loop, opaque to the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// What the rules are told.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Every address is bound: fill the slots.
    Start,
    /// The next deadline may have passed.
    Tick,
    /// The master itself did not run for so long, so every deadline moves by as much.
    Late(Duration),
    /// The program for a generation was looked up, or could not be.
    Resolved { generation: Generation, result: Result<(), String> },
    /// The process of a node was started, or could not be.
    Spawned { id: NodeId, result: Result<u32, String> },
    /// The node reached `listen`.
    Hello { id: NodeId },
    /// The node accepts connections.
    Ready { id: NodeId },
    /// The node says why it cannot start; its exit follows, or is enforced.
    Failed { id: NodeId, why: String },
    /// The node's runtime is alive.
    Beat { id: NodeId },
    /// The node drains of itself (it was sent SIGTERM, or dropped its `Nodes`) and is to be replaced.
    Leaving { id: NodeId },
    /// The node's control socket broke or carried nonsense, though its process lives.
    Broken { id: NodeId, why: String },
    /// What was seen of a silent node's process: whether it is being traced (a debugger holds it), and a report for
    /// people.
    Examined { id: NodeId, traced: bool, report: String },
    /// The process ended and was reaped.
    Exited { id: NodeId, exit: Exit },
    /// Somebody gave an order and waits for the answer.
    Asked { ticket: Ticket, order: Order },
}

/// What the rules want done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Look up program and working directory for a generation; answered by [`Event::Resolved`].
    Resolve { generation: Generation },
    /// Start a process; answered by [`Event::Spawned`].
    Spawn { id: NodeId, slot: Slot, generation: Generation },
    /// Join the node, which has said hello, with each of these and with the master.
    Join { id: NodeId, with: Vec<NodeId> },
    /// Tell the node to drain within this time.
    Drain { id: NodeId, within: Duration },
    /// Look at the node's process; answered by [`Event::Examined`].
    Examine { id: NodeId },
    /// Send the signal to the node's process.
    Signal { id: NodeId, signal: Fatal },
    /// Nothing more is known of this node: forget its channels and counters.
    Forget { id: NodeId },
    /// Answer an order, exactly once.
    Answer { ticket: Ticket, result: Result<Report, OrderError> },
    /// Something happened that people want to read in the log.
    Tell(Happening),
    /// No node is left and none will be started: the program's service is over. `Err` says what became of it.
    Finish(Result<(), String>),
}

/// A signal that ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fatal {
    /// With a core dump, for a node that hangs.
    Abort,
    Kill,
}

/// A line for the log: one for each thing that happened to a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Happening {
    pub(crate) level: Level,
    pub(crate) slot: Option<Slot>,
    pub(crate) id: Option<NodeId>,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// The numbers that the rules go by; all have been checked.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// How many slots at the start.
    pub(crate) nodes: usize,
    /// The most slots that `scale` may ask for.
    pub(crate) max_nodes: usize,
    /// Whether nodes that end unasked are replaced.
    pub(crate) restart: bool,
    pub(crate) backoff: Backoff,
    /// So many unasked ends within such a time are a crash loop.
    pub(crate) crash_loop: CrashLoop,
    /// How many new nodes a reload may start ahead of the old ones; 0 stops the old one first.
    pub(crate) surge: usize,
    /// From a node's start until it is ready.
    pub(crate) start_timeout: Duration,
    /// From the order to drain until the node is killed.
    pub(crate) drain_timeout: Duration,
    /// From the order to shut down until the nodes drain.
    pub(crate) shutdown_delay: Duration,
    /// How long a serving or draining node's runtime may be silent; `None`: for ever.
    pub(crate) hang_timeout: Option<Duration>,
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

/// All state of the master's supervision.
#[derive(Debug)]
pub(crate) struct Fleet {
    policy: Policy,
}

impl Fleet {
    /// `seed` decides the jitter.
    pub(crate) fn new(policy: Policy, seed: u64) -> Fleet {
        let _ = seed;
        Fleet { policy }
    }

    /// Takes in what happened and says what is to be done now.
    pub(crate) fn on(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let _ = (now, event);
        Vec::new()
    }

    /// When [`Event::Tick`] is due; `None`: nothing is being waited for.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// What the fleet looks like; counters are left at zero, the load table knows them. `wall` is the time of day
    /// at `now`.
    pub(crate) fn snapshot(&self, now: Instant, wall: SystemTime) -> Status {
        let _ = (now, wall);
        Status::default()
    }
}
