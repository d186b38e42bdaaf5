//! What master and node say to each other. File descriptors are fields of the messages that carry them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fd::Fd;
use super::gateway_settings::GatewaySettings;
use super::passed_socket::PassedSocket;
use crate::command::{Command, CommandError, Report};
use crate::id::{Generation, NodeId, Slot};
use crate::machines::{MachineChanges, MachineFleet};
use crate::mesh::PeerInfo;
use crate::metrics::Series;
use crate::shared_secret::SharedSecret;
use crate::status::{Drained, GatewayStatus, Status};
use crate::tls_state::TlsState;

/// The protocol versions that this release speaks.
pub const VERSIONS: Versions = Versions { lowest: 1, highest: 2 };

/// A range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub lowest: u32,
    pub highest: u32,
}

impl Versions {
    /// The highest version that both sides speak.
    pub fn common(self, other: Versions) -> Option<u32> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

/// What this release does beside the versions that it speaks. Names that the other side does not know mean nothing to it.
pub(super) const CAPABILITIES: [&str; 11] =
    [SKIPS, GREETS, OFFERS, OFFERS_WHEN_BUSY, LATE_STREAMS, LIMITS, BUS, TLS, LEASES, GATEWAY, OWNERS];

/// It skips messages of kinds that it does not know.
pub(super) const SKIPS: &str = "skips_unknown";

/// It begins each hand-off stream with a `hello`.
pub const GREETS: &str = "handoff_hello";

/// It takes offers of version 1 of the hand-off stream from the stream's beginning: two that say this need no `hello` there.
pub const OFFERS: &str = "handoff_offers";

/// As a node it answers offers of nodes that compute at once, whatever its own runtime does; two that say this need no `hello` for that. As
/// a master it lets those that do not say this begin by one.
pub const OFFERS_WHEN_BUSY: &str = "handoff_when_busy";

/// As a node it asks for streams to other processes when it first needs them, as a master it makes them then.
pub const LATE_STREAMS: &str = "late_streams";

/// As a node it takes the table of limits, which is a field more of its `HelloAck`.
pub const LIMITS: &str = "limits";

/// It takes part in the bus: topics and requests between processes.
pub const BUS: &str = "bus";

/// As a node it takes certificates and keys of tickets, if its servers have TLS.
pub const TLS: &str = "tls";

/// As a master it grants leases, as a node it asks for them.
pub const LEASES: &str = "leases";

/// As a node it takes part in the bus with a gateway to other machines, with which it has no streams.
pub const GATEWAY: &str = "gateway";

/// As a node its requests have owners, and it accepts no connections before `serves` names it. Other nodes leave this out.
pub const OWNERS: &str = "owners";

/// Whether this capability is among those that a side has named.
pub fn has_capability(named: &[String], capability: &str) -> bool {
    named.iter().any(|name| name == capability)
}

/// The names of all.
pub fn capabilities() -> Vec<String> {
    CAPABILITIES.map(str::to_owned).to_vec()
}

/// What a node tells its master.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToMaster {
    /// The first message: the program has reached `listen`. `addresses` are those it wants to serve, for each server.
    Hello {
        versions: Versions,
        addresses: Vec<Vec<String>>,
        #[serde(default)]
        capabilities: Vec<String>,
    },
    /// All factories have returned and connections are accepted.
    Ready,
    /// The node cannot start, and ends.
    Failed { why: String },
    /// The runtime is alive.
    Beat,
    /// The same of a gateway, with how it is.
    Gateway(GatewayStatus),
    /// What a gateway has come to know of other machines.
    Machines(MachineChanges),
    /// The node drains on its own initiative and needs a replacement.
    Leaving,
    /// The drain is done. Since version 2.
    Drained(Drained),
    /// The program wants a new stream to another process, since it has dropped the one it had. Since version 2.
    Rejoin { peer: NodeId },
    /// The program wants streams to all other processes, those to come included. Said once, and only to masters with the capability
    /// `late_streams`, as `WantHandoff`.
    WantPeers,
    /// The node wants to hand connections over to this one, and has no hand-off stream to it.
    WantHandoff { peer: NodeId },
    /// The bus wants a link to another process. `broken_epoch` is the highest epoch of the pair that the node has seen. Only to masters
    /// with the capability `bus`.
    OpenLink { peer: NodeId, broken_epoch: u64 },
    /// The node wants to hold the lease of this name; `ticket` is the node's own number for it. The answer may take any time. Only to masters
    /// with the capability `leases`.
    SeekLease { ticket: u64, name: String },
    /// The node returns a lease, or no longer wants it.
    ReturnLease { ticket: u64 },
    /// Somebody in the node gives a command; `ticket` is the node's own number for it.
    Command { ticket: u64, command: Command },
    /// What the program has measured since this was last said. Only to masters whose settings ask for it.
    Measured { series: Vec<Series> },
    /// An exec shim executes its program now: unless `Failed` follows, nothing more is said here, or all that a program says
    /// which links this crate, from `Hello` on.
    Exec,
}

/// What a master tells its node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToNode {
    /// The answer to `Hello`: who the node is and what it serves.
    HelloAck(Box<HelloAck>),
    /// The answer to the `Hello` of an exec shim: what to become.
    Exec(Box<Exec>),
    /// The answer to the `Hello` of a gateway. The epoch is another number for each master.
    GatewayAck {
        version: u32,
        epoch: u64,
        #[serde(default)]
        settings: GatewaySettings,
    },
    /// The processes of this machine, for its gateway, which names them to others.
    Fleet(MachineFleet),
    /// Other machines, if the program joins any: what nodes have to know, and for a gateway what the one before has known.
    Machines(MachineChanges),
    /// Another process takes part in the bus, and in nothing else: for nodes with the capability `gateway` the gateway, and for that every
    /// process.
    BusPeer { id: NodeId, slot: Option<Slot> },
    /// The answer to a `Hello` that cannot be served.
    Refused { why: String },
    /// Other processes, with streams to them. One is named once more when there are further streams.
    Joined { peers: Vec<Join> },
    /// Another stream of the program to a process that is joined already. Since version 2.
    Rejoined { peer: PeerInfo, stream: Fd },
    /// All processes that there were when this node came have been named by `Joined`. Only to nodes with the capability `bus`.
    AllJoined,
    /// A link of the bus to a process that is joined already. Only to nodes with the capability `bus`.
    LinkOpened { peer: NodeId, epoch: u64, link: Fd },
    /// Another process drains. Its streams stay open until it ends. Since version 2.
    PeerDrains { id: NodeId },
    /// A node serves from now on, and answers the requests of its slot. The node itself learns this last. Only to nodes with the capability `owners`.
    Serves { id: NodeId, slot: Slot },
    /// Another process has ended.
    Gone { id: NodeId },
    /// Take no new connections, finish what is in flight within this time, and end. Idle connections go to the successors:
    /// to one of the first rank, or where none of them takes it, of the next. None: the connections are closed.
    ///
    /// One that drains already keeps its deadline, and these are its successors from now on.
    Drain {
        within: Duration,
        #[serde(default)]
        successors: Vec<Vec<NodeId>>,
        /// The whole program ends: a node that finds a listening socket's queue empty closes it for all.
        #[serde(default)]
        closing: bool,
    },
    /// Serve on, and take no new connections until `Resume`. Since version 2.
    Pause,
    /// Take connections as any other, after `Pause` or a trial. Since version 2.
    Resume,
    /// How the fleet looks now.
    Status { status: Status, lines: Vec<Option<usize>> },
    /// The master leaves for its successor. Whatever becomes of the channel, serve on for so long, or until the next
    /// `Adopted`. Since version 2.
    Departing { within: Duration },
    /// There is a master (again), and these are its options. Since version 2.
    Adopted { settings: NodeSettings },
    /// Certificates and keys of tickets for the handshakes that begin from now on. Only to nodes with the capability `tls`.
    Tls(TlsState),
    /// The node holds the lease that it has asked for, until it returns it. Only as an answer to `SeekLease`.
    LeaseGranted { ticket: u64 },
    /// The answer to `Command`.
    Answer { ticket: u64, result: Result<Report, CommandError> },
}

/// Everything that a node needs to serve.
#[derive(Debug, Serialize, Deserialize)]
pub struct HelloAck {
    /// The version spoken from here on.
    pub version: u32,
    /// What the master does beside that.
    #[serde(default)]
    pub capabilities: Vec<String>,
    pub id: NodeId,
    pub slot: Slot,
    pub generation: Generation,
    pub settings: NodeSettings,
    /// The node's line in the load table.
    pub line: usize,
    /// Whether the node is to take its share of new connections and no more, until `Resume`.
    #[serde(default)]
    pub trial: bool,
    /// The number of slots, until the first `Status`.
    #[serde(default)]
    pub slots: usize,
    /// Bytes that all processes of the program share.
    #[serde(default)]
    pub secret: Option<SharedSecret>,
    /// What the servers with TLS need, where there are some. Only to nodes with the capability `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsState>,
    /// For each server its listening sockets.
    pub servers: Vec<Vec<PassedSocket>>,
    /// The load table.
    pub load: Fd,
    /// The wake-up by which acceptors wake each other.
    pub wake_fd: Fd,
    /// The table of limits. Only to nodes with the capability `limits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Fd>,
}

/// A program that does not link this crate, and what it finds when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exec {
    pub program: OsString,
    pub args: Vec<OsString>,
    /// What is changed in the environment, in this order; `None` removes a variable.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Descriptors, each with the number that it is to have.
    pub fds: Vec<(u32, Fd)>,
    /// The number at which this conversation is left open for a program that links this crate, which says hello anew.
    #[serde(default)]
    pub parent_info: Option<u32>,
    /// Where the program was found, and the file that was found. What is there by now is executed only if it is the same file.
    #[serde(default)]
    pub found: Option<(PathBuf, Fd)>,
    /// By which signal the kernel tells the program that its master has gone; `None`: SIGKILL.
    #[serde(default)]
    pub stop_signal: Option<i32>,
    /// The soft limit of open files; `None`: that of the master.
    #[serde(default)]
    pub open_files: Option<u64>,
}

/// What of the master's options concerns its nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeSettings {
    pub drain_timeout: Duration,
    /// How often the master wants to hear that the runtime is alive; `None`: never.
    pub heartbeat: Option<Duration>,
    pub signals: bool,
    /// Whether the master wants to hear what the program measures.
    #[serde(default)]
    pub measures: bool,
    /// Whether it understands more of that than whole counters, gauges, and histograms with the usual buckets.
    #[serde(default)]
    pub measures_all: bool,
    /// How many open files the streams to other processes take.
    #[serde(default)]
    pub mesh_files: usize,
    /// Whether the program has bound its listening sockets itself: those that it was given stay open after its end.
    #[serde(default)]
    pub own_sockets: bool,
}

/// Another process, and this one's ends of streams to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Join {
    pub peer: PeerInfo,
    /// Whether the hand-off stream begins with a `hello` of each side.
    #[serde(default)]
    pub greets: bool,
    /// Whether the other process takes part in the bus.
    #[serde(default)]
    pub bus: bool,
    /// The application's stream. `None`: it was not asked for yet, or was sent before. Never between processes of which one lacks
    /// the capability `late_streams`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Fd>,
    /// The library's own, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Fd>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_spoken() {
        let range = |lowest, highest| Versions { lowest, highest };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(2, 2).common(range(1, 2)), Some(2));
        assert_eq!(range(1, 1).common(range(2, 3)), None);
        assert_eq!(range(3, 1).common(range(1, 3)), None, "a range that is none");
    }
}
