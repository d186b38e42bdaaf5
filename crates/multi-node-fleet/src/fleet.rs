//! The rules: which node is started, joined, drained, killed and replaced, and when.
//!
//! [`Fleet`] owns all state and performs nothing: an [`Event`] and the time go in, [`Action`]s come out. Deadlines are
//! enforced at [`Event::Tick`] only, so that a loop can hand off everything that came in late before it asks for
//! judgement.

mod canary;
mod commands;
mod deadlines;
mod draining;
mod end;
mod format;
mod hang;
mod leases;
mod life;
mod log_event;
mod node;
mod policy;
mod recycle;
mod reload;
mod replace;
mod sampling;
mod saved;
mod scale;
mod shutdown;
mod slot;
mod snapshot;
mod turn;
mod upgrade;
mod verdict;

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod world;

use std::collections::BTreeMap;
use std::mem;
use std::time::{Duration, Instant};

pub use self::canary::Canary;
use self::commands::Running;
use self::draining::{Draining, Next};
use self::hang::Suspect;
pub use self::log_event::{Level, LogEvent};
use self::node::Node;
pub use self::policy::{Backoff, CrashLoop, Policy};
pub use self::recycle::Recycling;
pub use self::sampling::Tally;
pub use self::saved::Saved;
use self::shutdown::Stopping;
use self::slot::{Filled, SlotRecord};
pub use self::verdict::Limits;
use super::restart::{Jitter, Rules};
use crate::command::{Command, CommandError, ReloadReport, Report};
use crate::id::{Generation, NodeId, Slot};
use crate::leases::{Claim, Leases};
use crate::status::Drained;
use crate::status::Exit;

/// Which command an answer belongs to; given out by the loop, opaque to the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The input of the rules.
#[derive(Clone, Debug)]
pub enum Event {
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
    /// The program that the node's exec shim has become links this crate, and has reached `listen`.
    Linked { id: NodeId },
    /// It runs a program that may not link this crate; what that has not shown yet.
    Runs { id: NodeId, lacks: String },
    /// The node accepts connections.
    Ready { id: NodeId },
    /// A node of another program was ready, and does not serve any more, though its process lives.
    Unready { id: NodeId, why: String },
    /// A node of another program will never be ready, started as it is; no other start would change that.
    Hopeless { id: NodeId, why: String },
    /// The node says why it cannot start; its exit follows, or is enforced.
    Failed { id: NodeId, why: String },
    /// The node's runtime is alive.
    Beat { id: NodeId },
    /// The node needs so long from now on for what it is doing.
    Extended { id: NodeId, by: Duration },
    /// The node says what became of its connections; its exit follows.
    Drained { id: NodeId, drained: Drained },
    /// The node drains on its own initiative and needs a replacement: it was sent SIGTERM, or dropped its `Nodes`.
    Leaving { id: NodeId },
    /// The node's control socket broke or carried nonsense, though its process lives.
    Broken { id: NodeId, why: String },
    /// What was seen of a silent node's process: whether it is being traced (a debugger holds it), and a report for
    /// people.
    Examined { id: NodeId, traced: bool, report: String },
    /// What nodes have done so far.
    Counted { tallies: Vec<(NodeId, Tally)> },
    /// How much memory a node has, in bytes.
    Weighed { id: NodeId, bytes: u64 },
    /// The process ended and was reaped; `tally` is the last, `None` of a program that does not count.
    Exited { id: NodeId, exit: Exit, tally: Option<Tally> },
    /// The program of a generation was tried in a child: it could take the master's place, or says why not.
    Rehearsed { generation: Generation, result: Result<(), String> },
    /// The master could not be replaced.
    Stayed { why: String },
    /// The node asks for the lease of this name.
    SeeksLease { name: String, claim: Claim },
    /// The node returns a lease, or no longer waits for it.
    ReturnsLease(Claim),
    /// A client gave a command and waits for the answer.
    Asked { ticket: Ticket, command: Command },
}

/// What the rules want done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Look up program and working directory for a generation; answered by [`Event::Resolved`].
    Resolve { generation: Generation },
    /// Try in a child whether the program of a generation could take the master's place; answered by
    /// [`Event::Rehearsed`].
    Preflight { generation: Generation },
    /// Replace the master's program by the one that all slots serve by now. Answered by [`Event::Stayed`], or not at all.
    Exec { reload: ReloadReport },
    /// Start a process; answered by [`Event::Spawned`].
    Spawn { id: NodeId, slot: Slot, generation: Generation },
    /// Join the node, which has said hello, with each of these and with the master.
    Join { id: NodeId, with: Vec<NodeId> },
    /// Tell the node to drain within this time.
    Drain { id: NodeId, within: Duration },
    /// Look at the node's process; answered by [`Event::Examined`].
    Examine { id: NodeId },
    /// It no longer matters whether the node, which was new, stays ready.
    Settled { id: NodeId },
    /// Let a node that serves take no new connections for now.
    Pause { id: NodeId },
    /// Let a node that was paused, or serves on trial, take connections like any other.
    Resume { id: NodeId },
    /// Read the request counts of these nodes, and their memory if `weigh` is set. The answer is one [`Event::Counted`], and
    /// an [`Event::Weighed`] for each node.
    Look { nodes: Vec<NodeId>, weigh: bool },
    /// Send the signal to the node's process.
    Signal { id: NodeId, signal: Fatal },
    /// Send a signal to the node's process, as a command asked for.
    Forward { id: NodeId, signal: i32 },
    /// Tell the node that it holds the lease that it has asked for.
    GrantLease(Claim),
    /// Nothing more is known of this node: forget its channels and counters.
    Forget { id: NodeId },
    /// Answer a command, exactly once.
    Answer { ticket: Ticket, result: Result<Report, CommandError> },
    /// Something happened that people want to read in the log.
    Tell(LogEvent),
    /// No node is left and none will be started: the program's service is over. `Err` says what became of it.
    Finish(Result<(), String>),
}

/// A signal that ends a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// With a core dump, for a node that hangs.
    Abort,
    Kill,
}

/// How long a node that says it has failed may take to end, and how long a signal may take to end one.
const GRACE: Duration = Duration::from_secs(5);

/// How many slots can be numbered.
const MAX_SLOTS: usize = 1 << 16;

/// All state of the master's supervision.
#[derive(Debug)]
pub struct Fleet {
    policy: Policy,
    jitter: Jitter,
    course: FleetPhase,
    slots: Vec<SlotRecord>,
    /// Every process that has been asked for and is not known to have ended.
    nodes: BTreeMap<NodeId, Node>,
    /// How many nodes were ever started.
    started: u64,
    /// What new slots run: the generation that last came to serve in all of them.
    current: Generation,
    /// The last generation whose program was found. It is ahead of `current` after a reload that failed half-way.
    newest: Generation,
    command: Option<Running>,
    /// Reloads and restarts whose old nodes drain, the oldest first.
    draining: Vec<Draining>,
    /// The reload that is to begin as soon as it may.
    next: Option<Next>,
    suspect: Option<Suspect>,
    /// When nodes are looked at next.
    sample_at: Option<Instant>,
    /// When they were counted last.
    sampled_at: Option<Instant>,
    /// Until when nothing is recycled, since the last new node did not come up.
    recycle_again_at: Option<Instant>,
    /// Whether any node was ever ready. Until then a crash loop means that the program is broken; later it is only retried.
    seen_ready: bool,
    /// Whether any node has ever reached `listen`.
    seen_hello: bool,
    /// The last death, for the case that it ends the program.
    last_death: String,
    leases: Leases,
    out: Vec<Action>,
}

/// Where the fleet as a whole is.
#[derive(Debug)]
enum FleetPhase {
    Unstarted,
    /// The first program is being looked up.
    Resolving,
    Running,
    Stopping(Stopping),
    Over,
}

impl Fleet {
    /// `seed` decides the jitter.
    pub fn new(policy: Policy, seed: u64) -> Fleet {
        let first = Generation::default();
        let slots = (0..policy.nodes.min(MAX_SLOTS)).map(|_| SlotRecord::empty(first)).collect();
        Fleet {
            policy,
            jitter: Jitter::new(seed),
            course: FleetPhase::Unstarted,
            slots,
            nodes: BTreeMap::new(),
            started: 0,
            current: first,
            newest: first,
            command: None,
            draining: Vec::new(),
            next: None,
            suspect: None,
            sample_at: None,
            sampled_at: None,
            recycle_again_at: None,
            seen_ready: false,
            seen_hello: false,
            last_death: String::from("none was ever started"),
            leases: Leases::default(),
            out: Vec::new(),
        }
    }

    /// Applies an event, and returns the actions to carry out, in this order.
    ///
    /// Events about unknown nodes are ignored.
    pub fn on(&mut self, now: Instant, event: Event) -> Vec<Action> {
        match event {
            Event::Start => self.start(),
            Event::Tick => self.tick(now),
            Event::Late(by) => self.late(now, by),
            Event::Resolved { generation, result } => self.resolved(now, generation, result),
            Event::Spawned { id, result } => self.spawned(now, id, result),
            Event::Hello { id } => self.hello(now, id),
            Event::Linked { id } => self.linked(now, id),
            Event::Runs { id, lacks } => self.runs(id, lacks),
            Event::Ready { id } => self.ready(now, id),
            Event::Hopeless { id, why } => self.give_up_on(now, id, &why),
            Event::Unready { id, why } => self.unready(now, id, &why),
            Event::Failed { id, why } => self.failed(now, id, why),
            Event::Beat { id } => self.heard(now, id),
            Event::Extended { id, by } => self.extended(now, id, by),
            Event::Drained { id, drained } => self.drained(id, drained),
            Event::Leaving { id } => self.leaving(now, id),
            Event::Broken { id, why } => self.broken(now, id, &why),
            Event::Examined { id, traced, report } => self.examined(now, id, traced, &report),
            Event::Counted { tallies } => self.counted(now, &tallies),
            Event::Weighed { id, bytes } => self.weighed(id, bytes),
            Event::Exited { id, exit, tally } => self.exited(now, id, exit, tally),
            Event::Rehearsed { generation, result } => self.preflighted(generation, result),
            Event::Stayed { why } => self.stayed(why),
            Event::SeeksLease { name, claim } => self.seeks_lease(&name, claim),
            Event::ReturnsLease(claim) => self.leases.give_back(claim),
            Event::Asked { ticket, command } => self.asked(now, ticket, command),
        }
        self.advance_command(now);
        self.recycle(now);
        self.grant_leases();
        self.conclude();
        self.arrange_sampling(now);
        mem::take(&mut self.out)
    }

    fn start(&mut self) {
        if matches!(self.course, FleetPhase::Unstarted) {
            self.course = FleetPhase::Resolving;
            self.act(Action::Resolve { generation: self.current });
        }
    }

    fn resolved(&mut self, now: Instant, generation: Generation, result: Result<(), String>) {
        match self.course {
            FleetPhase::Resolving if generation == self.current => match result {
                Ok(()) => self.fill_all(now),
                Err(why) => self.finish(Err(why)),
            },
            FleetPhase::Running => self.resolved_for_reload(generation, result),
            _ => {}
        }
    }

    fn fill_all(&mut self, now: Instant) {
        self.course = FleetPhase::Running;
        for index in 0..self.slots.len() {
            self.fill(now, slot_at(index));
        }
    }

    /// The program's service is over once no process is left and none is due.
    fn conclude(&mut self) {
        if !self.nodes.is_empty() {
            return;
        }
        match &mut self.course {
            FleetPhase::Stopping(stopping) => {
                let (tickets, outcome) = stopping.take();
                for ticket in tickets {
                    self.answer(ticket, Ok(Report::Shutdown));
                }
                self.finish(outcome);
            }
            FleetPhase::Running if self.slots.iter().all(SlotRecord::is_idle) => {
                self.overtake_command();
                self.finish(Err(self.last_death.clone()));
            }
            _ => {}
        }
    }

    fn finish(&mut self, outcome: Result<(), String>) {
        self.course = FleetPhase::Over;
        match &outcome {
            Ok(()) => self.tell_all(Level::Info, String::from("all nodes have ended")),
            Err(why) => self.tell_all(Level::Error, format!("no node is left: {why}")),
        }
        self.act(Action::Finish(outcome));
    }

    fn rules(&self) -> Rules {
        Rules { backoff: self.policy.backoff, crash_loop: self.policy.crash_loop }
    }

    fn slot_mut(&mut self, slot: Slot) -> Option<&mut SlotRecord> {
        self.slots.get_mut(slot.index())
    }

    fn act(&mut self, action: Action) {
        self.out.push(action);
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Report, CommandError>) {
        self.act(Action::Answer { ticket, result });
    }

    fn tell(&mut self, level: Level, slot: Slot, id: NodeId, text: String) {
        self.act(Action::Tell(LogEvent { level, slot: Some(slot), id: Some(id), text }));
    }

    fn tell_all(&mut self, level: Level, text: String) {
        self.act(Action::Tell(LogEvent { level, slot: None, id: None, text }));
    }
}

fn slot_at(index: usize) -> Slot {
    Slot(u16::try_from(index).expect("no more than MAX_SLOTS slots are ever made"))
}

/// A time so much later, or as good as never where the clock cannot count that far.
fn after(time: Instant, delay: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    time.checked_add(delay).or_else(|| time.checked_add(CENTURY)).unwrap_or(time)
}
