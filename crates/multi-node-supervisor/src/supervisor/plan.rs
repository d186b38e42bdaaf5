//! What a master goes by: settings as plain values.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::fleet::Policy;
use super::run::{self, LoopConfig};
use crate::bind::Manner;
use crate::control::{GatewaySettings, NodeSettings};
use crate::environment;
use crate::family::Run;
use crate::id::Slot;
use crate::identity::Identity;

/// How many heartbeats a node is to send within the time after which its silence counts.
const BEATS: u32 = 4;

/// The settings of a master.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How nodes are started.
    pub start: Start,
    /// The run that this process leads.
    pub run: Run,
    /// How sockets are made that nodes of another program ask for.
    pub manner: Manner,
    /// What the rules go by. What follows from the program and the limit of descriptors is filled in here.
    pub policy: Policy,
    /// Whether processes are joined with each other.
    pub peers: bool,
    /// Whether the master and its nodes react to signals.
    pub signals: bool,
    /// Whether nodes may give commands.
    pub commands_from_nodes: bool,
    /// Whether this process serves beside its nodes.
    pub master_listen: bool,
    /// How long nodes wait for the next master.
    pub adopt_timeout: Duration,
    /// Whether nodes are to tell what their program measures.
    pub measures: bool,
    /// Of how many keys limits count at once.
    pub max_keys: usize,
    /// How many servers of its own the library has in this process.
    pub endpoints: usize,
    /// The gateway to other machines, if there is one.
    pub gateway: Option<GatewayPlan>,
}

/// The process that joins this machine to others.
#[derive(Clone, Debug)]
pub struct GatewayPlan {
    /// This machine's name.
    pub machine: String,
    /// Its program and arguments; `None`: those of nodes.
    pub program: Option<(PathBuf, Vec<OsString>)>,
    /// What it goes by.
    pub settings: GatewaySettings,
}

/// How nodes are started: the program, its arguments, its environment.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// `None`: this program.
    pub program: Option<PathBuf>,
    /// `None`: those of this process.
    pub args: Option<Vec<OsString>>,
    /// Arguments that depend on the slot.
    pub slot_args: Option<SlotArgs>,
    /// Program and arguments of the master's own start, where those of this process do not tell.
    pub started_as: Option<(PathBuf, Vec<OsString>)>,
    /// Variables beside those of this process.
    pub env: Vec<(OsString, OsString)>,
    /// The user and group of nodes, if that is not this process's user.
    pub identity: Option<Identity>,
    /// Permission bits that files made by nodes do not get.
    pub umask: Option<u32>,
}

/// Arguments that depend on the slot.
#[derive(Clone)]
pub struct SlotArgs(Arc<dyn Fn(Slot) -> Vec<OsString> + Send + Sync>);

impl SlotArgs {
    /// Those that the function gives.
    pub fn new(args: impl Fn(Slot) -> Vec<OsString> + Send + Sync + 'static) -> SlotArgs {
        SlotArgs(Arc::new(args))
    }

    pub(super) fn of(&self, slot: Slot) -> Vec<OsString> {
        (self.0)(slot)
    }
}

impl fmt::Debug for SlotArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotArgs").finish_non_exhaustive()
    }
}

impl Plan {
    pub(super) fn loop_config(&self) -> LoopConfig {
        LoopConfig {
            commands_from_nodes: self.commands_from_nodes,
            start_timeout: self.policy.start_timeout,
            adopt_timeout: self.adopt_timeout,
            master_listen: self.master_listen,
        }
    }

    pub(super) fn node_settings(&self) -> NodeSettings {
        NodeSettings {
            drain_timeout: run::cut_after(self.policy.drain_timeout),
            heartbeat: self.policy.hang_timeout.map(|silence| silence / BEATS),
            signals: self.signals,
            measures: self.measures,
            measures_all: true,
            // As many nodes as there are when it is welcome decide.
            mesh_files: 0,
            own_sockets: !environment::sockets_given(),
        }
    }
}
