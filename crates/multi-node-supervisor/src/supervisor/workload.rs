//! What nodes run: this program ([`Linked`]), or what a caller of this crate brings. It is decided once, when the master starts. The rest
//! of the master asks the [`Workload`] wherever it makes a difference, and knows no kind of it.

mod linked;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::child::Launcher;
use super::fleet::{Backoff, Event};
use super::guard::Registry;
use super::watch::NodeEvent;
use crate::bind::Manner;
use crate::control::{Encoded, Exec, PassedSocket};
use crate::id::{Generation, NodeId};
use crate::mesh::PeerInfo;
use crate::output::Collect;
use crate::serve::Socket;
use crate::status::{Exit, ProgramStatus};
use crate::sys::signal::TERM;
use crate::{Error, NotApplied};

pub use linked::Linked;

/// What a hook waits for.
pub type Waits<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Describes what nodes are to run. A master begins with it, or goes on with it after another master.
pub trait WorkloadSpec: fmt::Debug + Send + Sync {
    /// What follows from it for the master.
    fn properties(&self) -> Properties;

    /// Fails if it cannot be found, before anything is bound.
    ///
    /// # Errors
    /// What is missing.
    fn look_up(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether it can go on from what another master's workload has [saved](Workload::save).
    ///
    /// # Errors
    /// Why it cannot.
    fn check_left(&self, left: Option<&Encoded>) -> Result<(), String>;

    /// Begins with new nodes.
    ///
    /// # Errors
    /// Where it cannot be run so.
    fn begin(self: Box<Self>, context: StartContext<'_>) -> Result<Box<dyn Workload>, Error>;

    /// Goes on from what another master's workload has saved.
    ///
    /// # Errors
    /// Where that cannot be read.
    fn resume(self: Box<Self>, left: Option<Encoded>, context: StartContext<'_>) -> io::Result<Box<dyn Workload>>;
}

/// What follows for the master from what its nodes run.
#[derive(Clone, Debug)]
pub struct Properties {
    /// Whether nodes are of the master's own program, which an upgrade replaces.
    pub same_program: bool,
    /// Whether every node speaks the control protocol as long as it lives. Otherwise those do that have said hello for themselves.
    pub all_speak: bool,
    /// Whether every node is to send heartbeats.
    pub all_beat: bool,
    /// Whether the master has streams to its nodes.
    pub joins_master: bool,
    /// Whether the master's end ends nodes: a guard tells them to finish, and ends what is left.
    pub is_guarded: bool,
    /// How many descriptors the master has for each node beside those for any; `None`: nodes have the streams of linked ones.
    pub descriptors: Option<usize>,
    /// How long a node may be silent, if that is known.
    pub hang_timeout: Option<Duration>,
    /// Who collects what nodes write.
    pub output: Option<mpsc::Sender<Collect>>,
}

/// What the nodes run, while a master runs them. Most hooks do nothing unless a workload needs them.
pub trait Workload: fmt::Debug + Send + Sync {
    /// Looks up what this generation runs.
    ///
    /// # Errors
    /// Why the generation cannot be started.
    fn resolve(&mut self, _generation: Generation) -> Result<(), String> {
        Ok(())
    }

    /// Forgets all other generations.
    fn keep(&mut self, _used: &dyn Fn(Generation) -> bool) {}

    /// What has changed with this generation, and a reload does not apply.
    fn not_applied(&self, _generation: Generation) -> &[NotApplied] {
        &[]
    }

    /// The signal by which nodes of this generation finish.
    ///
    /// # Errors
    /// Where the generation is not held any more.
    fn stop_signal(&self, _generation: Generation) -> io::Result<i32> {
        Ok(TERM)
    }

    /// Binds what a node asks for in its hello, before [`hello`](Workload::hello).
    fn bind<'a>(&'a mut self, _node: NodeView, _addresses: &'a [Vec<String>], _given: Given<'a>) -> Waits<'a> {
        Box::pin(async {})
    }

    /// What a node that has said hello is given.
    ///
    /// # Errors
    /// Why it is refused.
    fn hello(&mut self, node: NodeView, addresses: &[Vec<String>], given: Given<'_>) -> Result<Welcome, String>;

    /// Takes in what is known of a node.
    fn heard(&mut self, node: NodeView, news: NodeNews<'_>) -> Reaction;

    /// Whether the last output of a node that has ended may tell why.
    fn wants_last_output(&self, _id: NodeId) -> bool {
        false
    }

    /// Asks a node that does not speak to finish; false: a signal has to.
    fn ask_to_finish(&mut self, _id: NodeId) -> bool {
        false
    }

    /// Refuses new clients. `Some` if nodes may be waiting until no connection waits; it resolves then, or at the deadline: whether those
    /// nodes are to finish now.
    fn refuse_newcomers(&mut self, given: &[Vec<Socket>], deadline: Option<Instant>) -> Option<Waits<'static, bool>>;

    /// No connection waits in the listening sockets any more.
    fn close(&mut self) {}

    /// What was bound since nodes have asked for it.
    fn bound(&self) -> Vec<String> {
        Vec::new()
    }

    /// The description of nodes whose connections and requests are unknown.
    fn status(&self, _node: Option<NodeView>, _generation: Generation) -> Option<ProgramStatus> {
        None
    }

    /// Runs what this generation, or the newest, has beside its nodes.
    fn run_beside(&mut self, _generation: Option<Generation>, _beside: Beside<'_>) {}

    /// Stops what runs beside the nodes: none is left.
    fn leave(&mut self) -> Waits<'_> {
        Box::pin(async {})
    }

    /// Rests with all nodes, so that the next master can go on. The conversations have been told to.
    fn rest(&mut self) -> Waits<'_> {
        Box::pin(async {})
    }

    /// Goes on, before the nodes do.
    fn go_on(&mut self) {}

    /// What the next master's workload goes on from. After a rest it is complete.
    ///
    /// # Errors
    /// Where it cannot be encoded, or a descriptor cannot be duplicated.
    fn save(&self) -> io::Result<Option<Encoded>> {
        Ok(None)
    }
}

/// What a workload begins with.
#[derive(Clone, Copy, Debug)]
pub struct StartContext<'a> {
    /// The listening sockets that the master was given, by server.
    pub sockets: &'a [Vec<Socket>],
    /// How more are made.
    pub manner: Manner,
    /// The soft limit of open files that the master was started with.
    pub open_files: Option<u64>,
}

/// What the master was given to serve.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The addresses of each server, as they were written.
    pub addresses: &'a [Vec<String>],
    /// The sockets of each server.
    pub sockets: &'a [Vec<Socket>],
}

impl<'a> Given<'a> {
    /// The sockets of the only server, for a program that has no servers of its own.
    pub fn first(&self) -> &'a [Socket] {
        self.sockets.first().map(Vec::as_slice).unwrap_or_default()
    }
}

/// A node that lives.
#[derive(Clone, Copy, Debug)]
pub struct NodeView {
    /// Its id, slot and process.
    pub info: PeerInfo,
    /// Its generation.
    pub generation: Generation,
    /// Whether its hello was answered: it speaks the control protocol.
    pub is_welcome: bool,
    /// Whether its reload succeeds only if it stays ready.
    pub has_to_prove_itself: bool,
}

/// The answer to a node's hello.
#[derive(Debug)]
pub enum Welcome {
    /// It is to become this program.
    Exec(Box<Exec>),
    /// It is a node of the master's program, and serves on these.
    Node(Vec<Vec<PassedSocket>>),
    /// It is the program that an exec shim has become, and links the library.
    Program(Vec<Vec<PassedSocket>>),
}

/// News of a node.
#[derive(Debug)]
pub enum NodeNews<'a> {
    /// It says that it is ready.
    Ready,
    /// It has become the program that it was to execute.
    Became(Observer),
    /// The master goes on with it after a rest, or begins with it.
    Resumed(Observer),
    /// An observation that an [`Observer`] has passed on.
    Observed(&'a [u8]),
    /// Its process has ended, which had become a program.
    Ended {
        /// Whether with success.
        well: bool,
        /// The last lines of its standard error, as far as they are collected.
        written: Vec<String>,
    },
    /// Its process was reaped.
    Exited(Exit),
    /// Whether it stays ready matters no more.
    Settled,
    /// It is gone.
    Forgotten,
}

/// What follows from news of a node.
#[derive(Debug)]
pub enum Reaction {
    /// Nothing.
    Nothing,
    /// The rules are to know.
    Event(Event),
    /// This process of the node is the one to signal from now on.
    MainProcess(u32),
    /// Its signal has to ask it to finish.
    Signal,
}

/// What running something beside the nodes needs.
#[derive(Debug)]
pub struct Beside<'a> {
    /// Starts processes as nodes are started.
    pub launcher: &'a Launcher,
    /// Names the process to the guard.
    pub registry: Option<Registry>,
    /// How restarts are spaced.
    pub backoff: Backoff,
    /// The listening sockets of the only server.
    pub given: &'a [Socket],
}

/// Takes what a workload notices of one node, until the conversations are to rest.
#[derive(Clone, Debug)]
pub struct Observer {
    id: NodeId,
    events: mpsc::Sender<(NodeId, NodeEvent)>,
    rest: watch::Receiver<bool>,
}

impl Observer {
    pub(super) fn new(id: NodeId, events: mpsc::Sender<(NodeId, NodeEvent)>, rest: watch::Receiver<bool>) -> Observer {
        Observer { id, events, rest }
    }

    /// An observer to whom nobody listens.
    pub fn unheard(id: NodeId, rest: watch::Receiver<bool>) -> Observer {
        Observer { id, events: mpsc::channel(1).0, rest }
    }

    /// Passes this on to [`Workload::heard`], of this master or the next.
    pub async fn tell(&self, observation: Vec<u8>) {
        // An error means that the supervisor is gone.
        let _ = self.events.send((self.id, NodeEvent::Observed(observation.into()))).await;
    }

    /// Turns true when the conversations are to rest.
    pub fn rest(&self) -> watch::Receiver<bool> {
        self.rest.clone()
    }
}

/// A listening socket stays open to new clients.
pub fn cannot_close(error: &io::Error) {
    crate::log::debug!(%error, "cannot close a listening socket to new clients");
}

/// Addresses, in a message.
pub(super) fn listed(addresses: &[Vec<String>]) -> String {
    addresses.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
}
