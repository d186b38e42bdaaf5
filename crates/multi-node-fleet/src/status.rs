//! What the fleet looks like at one moment: plain values, for people and for other processes.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{Generation, NodeId, Slot};
use crate::milliseconds::{moment, seconds};
pub use crate::milliseconds::{ms, unix_ms};

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// No process, and none due.
    Empty,
    /// The process was started and has not reached `listen` yet.
    Starting,
    /// It reached `listen`; its factories run.
    Initializing,
    /// It takes connections.
    Serving,
    /// It takes no new connections and finishes those it has.
    Draining,
    /// It was sent SIGABRT or SIGKILL and has not ended yet.
    Killing,
    /// It has ended, and what follows is being decided.
    Exited,
    /// The slot waits out its backoff.
    BackingOff,
    /// The slot is not tried again.
    Failed,
}

impl State {
    /// The state's name in lower case, as logs and tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Empty => "empty",
            State::Starting => "starting",
            State::Initializing => "initializing",
            State::Serving => "serving",
            State::Draining => "draining",
            State::Killing => "killing",
            State::Exited => "exited",
            State::BackingOff => "backing_off",
            State::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned from `main` or called exit, with this code.
    Code(i32),
    /// A signal of this number ended it.
    Signal(i32),
    /// It has ended, but something else in the master's process waits for all children and took the status.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Unknown => f.write_str("unknown status"),
            Exit::Signal(number) => match signal_name(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "signal {number}"),
            },
        }
    }
}

/// Names of the signals whose numbers are the same on every Linux architecture (signal(7)).
fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// By which sign it was seen that a node of a program serves which was not known to link this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReadyBy {
    /// It said `READY=1` on its notification socket.
    Notification,
    /// It wrote a newline to its notification descriptor.
    Descriptor,
    /// It sent its parent that its server listens, or the message `ready`, as Node.js programs do.
    Message,
    /// It links this crate.
    Linked,
    /// It answered a request.
    Http,
    /// One of its processes waits for connections.
    SocketInUse,
    /// It has lived for a while.
    Assumed,
}

impl ReadyBy {
    /// The sign in a word, as tables show it.
    pub fn as_str(self) -> &'static str {
        match self {
            ReadyBy::Notification => "notification",
            ReadyBy::Descriptor => "descriptor",
            ReadyBy::Message => "message",
            ReadyBy::Linked => "linked",
            ReadyBy::Http => "http",
            ReadyBy::SocketInUse => "socket_in_use",
            ReadyBy::Assumed => "assumed",
        }
    }
}

impl fmt::Display for ReadyBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ReadyBy::Notification => "it notified READY=1",
            ReadyBy::Descriptor => "it wrote to its notification descriptor",
            ReadyBy::Message => "it told its primary that it listens, or is ready",
            ReadyBy::Linked => "it links multi-node, and serves",
            ReadyBy::Http => "it answered over HTTP",
            ReadyBy::SocketInUse => "it was seen waiting for connections",
            ReadyBy::Assumed => "assumed: it runs, and gave no readiness signal",
        })
    }
}

/// What is known of a node instead of its connections and requests, where its program does not link this crate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProgramStatus {
    /// How it was seen that it serves; `None` before.
    pub ready_by: Option<ReadyBy>,
    /// The node's last status text (`STATUS=`, sd_notify(3)).
    pub said: Option<String>,
    /// Of a Node.js program whether it has the preload: `on`, or `off: ` and why.
    #[serde(default)]
    pub preload: Option<String>,
}

/// A snapshot of all slots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// One entry for each process that fills or filled a slot, by slot; a slot that is being reloaded has two, the
    /// newer one first.
    pub slots: Vec<SlotStatus>,
    /// How many slots are meant to serve.
    pub wanted: usize,
    /// The reload or upgrade that was ordered and has not begun; `None` where there is none.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// The certificates of servers with TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    /// The gateway to other machines, if the program joins any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
}

/// The process that joins this machine to others, as it was at most some seconds ago. A new process counts from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct GatewayStatus {
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Whether NATS is there.
    pub connected: bool,
    /// How many other machines were heard in the last seconds.
    pub machines: usize,
    /// Messages sent to other machines, each counted once.
    pub published: u64,
    /// Messages received from other machines.
    pub received: u64,
    /// Messages that could not be sent. Their subscribers see the gap.
    pub dropped: u64,
    /// What came from NATS and is no frame of this version, or not of this place.
    pub bad_frames: u64,
    /// Why NATS is not there, or what it has refused last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A certificate that clients get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// Which of the program's servers has it, from 0.
    pub server: usize,
    /// The file that it was read from.
    pub file: String,
    /// The names that it is for; those of the certificate in force, as its expiry is.
    pub names: Vec<String>,
    /// Until when it is valid: seconds of Unix time. In JSON `expires_ms`, as all times.
    #[serde(rename = "expires_ms", with = "seconds")]
    pub expires: i64,
    /// What is wrong with what the files have now. What was read before stays in force.
    pub error: Option<String>,
}

impl CertificateStatus {
    #[doc(hidden)]
    pub fn new(server: usize, file: String, names: Vec<String>, expires: i64) -> CertificateStatus {
        CertificateStatus { server, file, names, expires, error: None }
    }
}

/// A command that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Waiting {
    /// The command: `reload` or `upgrade`.
    pub command: String,
    /// The draining nodes that it waits for; empty while it waits for another command.
    pub nodes: Vec<NodeId>,
    /// When those have ended at the latest.
    #[serde(rename = "until_ms", with = "moment")]
    pub until: Option<SystemTime>,
}

impl Status {
    /// Whether every slot has a node that serves.
    pub fn is_ready(&self) -> bool {
        let serving = |slot: &&SlotStatus| slot.state == State::Serving;
        self.wanted > 0
            && self.slots.iter().filter(serving).map(|s| s.slot).collect::<std::collections::BTreeSet<_>>().len()
                >= self.wanted
    }
}

/// One slot in a [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SlotStatus {
    /// The slot.
    pub slot: Slot,
    /// Who fills it, or filled it last; `None` before the first.
    pub id: Option<NodeId>,
    /// The operating system's name for that process, while it lives.
    pub pid: Option<u32>,
    /// What it is doing.
    pub state: State,
    /// Since when it is in that state.
    pub since: SystemTime,
    /// The generation it was started for.
    pub generation: Generation,
    /// How often the slot's node ended unrequested and got, or will get, a replacement.
    pub restarts: u64,
    /// How the slot's last node ended, once one has.
    pub last_exit: Option<Exit>,
    /// Connections open now.
    pub connections: u64,
    /// Requests begun, since the slot came to be; never goes backwards when a node is replaced.
    pub requests: u64,
    /// Requests begun and not fully answered.
    pub in_flight: u64,
    /// Messages between this slot's nodes and others that were skipped, since a later release has sent them and their receiver
    /// does not know their kind. Never goes backwards.
    #[serde(default)]
    pub skipped_messages: u64,
    /// Of a node whose program does not link this crate, as far as is known: its connections and requests are not, and stay 0.
    #[serde(default)]
    pub program: Option<ProgramStatus>,
}

impl Status {
    #[doc(hidden)]
    pub fn of_one(slot: SlotStatus) -> Status {
        Status { slots: vec![slot], wanted: 1, waiting: None, certificates: Vec::new(), gateway: None }
    }
}

impl SlotStatus {
    /// A slot without any information or counts.
    #[doc(hidden)]
    pub fn new(slot: Slot, state: State, since: SystemTime) -> SlotStatus {
        SlotStatus {
            slot,
            id: None,
            pid: None,
            state,
            since,
            generation: Generation::default(),
            restarts: 0,
            last_exit: None,
            connections: 0,
            requests: 0,
            in_flight: 0,
            skipped_messages: 0,
            program: None,
        }
    }
}

/// What became of the connections that were open when a drain began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// They closed normally.
    pub finished: u64,
    /// Other nodes have taken them over.
    pub handed_off: u64,
    /// They were open still when the time was over.
    pub aborted: u64,
    /// Idle connections with TLS that stayed open for one more request; they count as finished or aborted too.
    #[serde(default)]
    pub kept: u64,
    /// Those of them that sent none, and were closed shortly before the time was over.
    #[serde(default)]
    pub kept_closed: u64,
}

#[cfg(test)]
mod tests;
