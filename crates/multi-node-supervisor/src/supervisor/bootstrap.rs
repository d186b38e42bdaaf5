//! The master's beginning: everything is prepared before the first node is started.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use multi_node_bus::Bus;
use tokio::sync::{mpsc, watch};

use super::child::Launcher;
use super::fleet::{Fleet, Policy};
use super::launch::System;
use super::limits_table;
use super::members::{Members, NodeTemplate};
use super::plan::Plan;
use super::reaper;
use super::run::Supervisor;
use super::upgrade::{InheritedLoop, LeftState, UpgradeRequest};
use super::workload::{Properties, StartContext, Workload, WorkloadSpec};
use multi_node_limits::{SharedTable, Size};

use crate::address::Address;
use crate::descriptors::Shape;
use crate::exits::Exits;
use crate::id::Generation;
use crate::log_buffer::LogBuffer;
use crate::mesh::Peers;
use crate::metrics_sink::MetricsSink;
use crate::process_links::{CommandRequest, End, Snapshot};
use crate::serve::{self, Drain, LoadTable, Place, Socket};
use crate::signals::MasterSignals;
use crate::tls_state::{TlsSource, TlsState};
use crate::{Error, SharedSecret, sys};

/// How much news of nodes may wait for the loop.
const QUEUE: usize = 256;

/// The master's own line in the load table.
const OWN_LINE: usize = 0;

/// What the process may open, and what its program needs of that.
#[derive(Clone, Copy, Debug)]
struct Room {
    shape: Shape,
    limit: Option<u64>,
    /// The soft limit of open files that this program was started with, for programs that do not link this crate.
    given: Option<u64>,
}

impl Room {
    /// Raises the limit to what this process may have, and makes the table of files as large as it will be.
    fn make(shape: Shape) -> Room {
        let given = sys::process::raise_file_limit().unwrap_or_else(|error| {
            crate::log::warn!(%error, "cannot raise the limit of open files");
            sys::process::file_limit()
        });
        sys::process::widen_file_table(shape.master().total());
        Room { shape, limit: sys::process::file_limit(), given }
    }
}

/// What supervision stands on, made anew or left by another master.
pub struct Bootstrap {
    launcher: Launcher,
    sockets: Vec<Vec<Socket>>,
    load: LoadTable,
    load_file: OwnedFd,
    wake_fd: OwnedFd,
    limits: (SharedTable, OwnedFd),
    fleet: Fleet,
    inherited: Option<InheritedLoop>,
    workload: Box<dyn Workload>,
    properties: Properties,
    room: Room,
    secret: SharedSecret,
    tls: Option<TlsState>,
    signals: MasterSignals,
}

/// What another program has left to go on from.
pub struct InheritedState {
    left: LeftState,
    properties: Properties,
    room: Room,
}

/// What the loop shares with the program of its process.
#[derive(Debug)]
pub struct Ends {
    /// The master's own.
    pub peers: Peers,
    /// The master's own part in the bus.
    pub bus: Bus,
    /// Commands of the program.
    pub asked: mpsc::Receiver<CommandRequest>,
    /// How the program sees the fleet.
    pub snapshot: watch::Sender<Snapshot>,
    /// Passes on the ends of nodes.
    pub exits: Exits,
    /// The drain of what this process serves itself.
    pub drain: Drain,
    /// The log, for those who follow it from outside.
    pub log_buffer: LogBuffer,
    /// Where what nodes measure is taken in.
    pub metrics_sink: MetricsSink,
    /// Where certificates come from.
    pub tls: TlsSource,
}

impl Bootstrap {
    /// Prepares everything for the first nodes.
    ///
    /// # Errors
    /// Where the limit of open files has no room, the program is not found, or the system refuses something.
    pub fn found(plan: &Plan, sockets: Vec<Vec<Socket>>, workload: Box<dyn WorkloadSpec>) -> Result<Bootstrap, Error> {
        let properties = workload.properties();
        let room = Room::make(shape(plan, sockets.iter().map(Vec::len).sum(), &properties));
        room.shape.check(room.limit)?;
        let context = StartContext { sockets: &sockets, manner: plan.manner, open_files: room.given };
        let workload = workload.begin(context)?;
        let mut launcher = launcher(plan, &properties, false)?;
        // The caller gets an error for what cannot be found; the rules look it up once more.
        launcher.resolve(Generation::default())?;
        // In each slot one node may serve, one come up, and those of two older generations drain. The line of one that has just
        // ended is not free yet.
        let lines = 1 + 4 * plan.policy.max_nodes + plan.policy.surge + 1;
        let (load, load_file) = LoadTable::create(lines).map_err(Error::io("make the load table"))?;
        let wake_fd = serve::wake_fd().map_err(Error::io("make the wake-up"))?;
        let limits = limits_table::make(Size { keys: plan.max_keys, processes: lines })?;
        let fleet = Fleet::new(policy(plan, &properties, room), seed());
        let (secret, signals) = (secret()?, signals(plan, None)?);
        Ok(Bootstrap {
            launcher,
            sockets,
            load,
            load_file,
            wake_fd,
            limits,
            fleet,
            inherited: None,
            workload,
            properties,
            room,
            secret,
            tls: None,
            signals,
        })
    }

    fn inherit(plan: &Plan, left: LeftState, properties: Properties, room: Room) -> Result<Bootstrap, Error> {
        let LeftState {
            sockets,
            load_file,
            wake_fd,
            limits: left_limits,
            images,
            fleet,
            secret: left_secret,
            tls,
            workload,
            left,
            inherited,
        } = left;
        let secret = left_secret.map_or_else(secret, Ok)?;
        let mut launcher = launcher(plan, &properties, true)?;
        launcher.inherit(images);
        let load = load_file.try_clone().and_then(LoadTable::open).map_err(Error::io("map the load table"))?;
        let limits = limits_table::go_on_counting(left_limits, Size { keys: plan.max_keys, processes: load.lines() })?;
        let fleet = Fleet::restore(policy(plan, &properties, room), seed(), fleet, left, Instant::now());
        let signals = signals(plan, Some(&inherited))?;
        Ok(Bootstrap {
            launcher,
            sockets,
            load,
            load_file,
            wake_fd,
            limits,
            fleet,
            inherited: Some(inherited),
            workload,
            properties,
            room,
            secret,
            tls,
            signals,
        })
    }

    /// The listening sockets, by server.
    pub fn sockets(&self) -> &[Vec<Socket>] {
        &self.sockets
    }

    /// Whether it is collected what nodes write.
    pub fn collects_output(&self) -> bool {
        self.properties.output.is_some()
    }

    /// What every process counts in.
    pub fn load(&self) -> &LoadTable {
        &self.load
    }

    /// Where limits count.
    pub fn limits(&self) -> &SharedTable {
        &self.limits.0
    }

    /// What the processes of the program share.
    pub fn secret(&self) -> &SharedSecret {
        &self.secret
    }

    /// The certificates and keys of tickets that the master before has left.
    pub fn tls(&self) -> Option<&TlsState> {
        self.tls.as_ref()
    }

    /// This process's place among those that serve.
    ///
    /// # Errors
    /// Where there is no descriptor left.
    pub fn place(&self) -> Result<Place, Error> {
        let wake_fd = self.wake_fd.try_clone().map_err(Error::io("duplicate the wake-up"))?;
        let most_connections = self.room.shape.master().connections(self.room.limit);
        Ok(Place { wake_fd: Some(wake_fd), most_connections, ..Place::new(self.load.clone(), OWN_LINE) })
    }

    /// Supervises, from now on; what is returned has to be polled, and resolves when no node is left and none will be started.
    pub fn supervise(
        self,
        plan: &Plan,
        addresses: &[Vec<Address>],
        ends: Ends,
    ) -> impl Future<Output = End> + Send + use<> {
        let Bootstrap {
            launcher,
            sockets,
            load,
            load_file,
            wake_fd,
            limits,
            fleet,
            mut inherited,
            workload,
            properties,
            room,
            secret,
            tls: _,
            signals,
        } = self;
        let Ends { peers, bus, asked, snapshot, exits, drain, log_buffer, metrics_sink, tls } = ends;
        let (hears, events) = mpsc::channel(QUEUE);
        let template = NodeTemplate {
            addresses: written(addresses),
            workload,
            properties,
            sockets,
            load,
            load_file,
            wake_fd,
            limits,
            settings: plan.node_settings(),
            secret,
            tls,
            shape: room.shape,
        };
        let joining = (plan.peers, peers, bus);
        let times = (plan.policy.max_nodes, plan.policy.drain_timeout, plan.policy.backoff);
        let mut members = Members::new(template, launcher, joining, times, hears, snapshot);
        members.plan_gateway(plan.gateway.clone());
        members.start_guard(inherited.as_mut().and_then(|inherited| inherited.guard.take()));
        members.run_beside(None);
        let supervisor = Supervisor::new(
            fleet,
            members,
            events,
            (asked, plan.loop_config()),
            (signals, drain),
            (log_buffer, metrics_sink, exits, inherited),
        );
        reaper::start();
        supervisor.run()
    }
}

impl UpgradeRequest {
    /// Goes on in the place of the program that led before; or says whether that could be done, and does not return.
    ///
    /// # Errors
    /// Where this program cannot go on, which the one before has been told where it still can.
    pub async fn take_over(
        self,
        plan: &Plan,
        addresses: &[Vec<Address>],
        workload: Box<dyn WorkloadSpec>,
    ) -> Result<InheritedState, Error> {
        let properties = workload.properties();
        let room = Room::make(shape(plan, addresses.iter().map(Vec::len).sum(), &properties));
        if let Err(error) = room.shape.check(room.limit) {
            return Err(self.refuse(error).await);
        }
        let left = self.accept(&written(addresses), workload, plan.manner).await?;
        Ok(InheritedState { left, properties, room })
    }
}

impl InheritedState {
    /// Prepares everything to go on from it.
    ///
    /// # Errors
    /// Where the system refuses something.
    pub fn resume(self, plan: &Plan) -> Result<Bootstrap, Error> {
        Bootstrap::inherit(plan, self.left, self.properties, self.room)
    }
}

impl fmt::Debug for InheritedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InheritedState").field("room", &self.room).finish_non_exhaustive()
    }
}

impl fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bootstrap").field("room", &self.room).finish_non_exhaustive()
    }
}

/// What this program's processes share, made anew.
fn secret() -> Result<SharedSecret, Error> {
    sys::random::bytes().map(SharedSecret::new).map_err(Error::io("make a shared secret"))
}

/// `inherits`: another program of this process was the master before, and has held signals back.
fn launcher(plan: &Plan, properties: &Properties, inherits: bool) -> Result<Launcher, Error> {
    let system = System::new(properties.is_guarded, inherits).map_err(Error::io("start a thread"))?;
    Launcher::new(plan.start.clone(), properties.output.clone(), plan.run.clone(), Arc::new(system))
}

/// The handlers, behind which those signals come that nobody has dealt with.
fn signals(plan: &Plan, inherited: Option<&InheritedLoop>) -> Result<MasterSignals, Error> {
    let install = || {
        let mut signals = MasterSignals::install(plan.signals)?;
        if let Some(inherited) = inherited {
            signals.inherit(inherited.signals.iter().copied());
            sys::exec::release_signals()?;
        }
        Ok(signals)
    };
    install().map_err(Error::io("install signal handlers"))
}

fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn written(addresses: &[Vec<Address>]) -> Vec<Vec<String>> {
    addresses.iter().map(|list| list.iter().map(ToString::to_string).collect()).collect()
}

/// What decides how many descriptors the processes need.
pub(super) fn shape(plan: &Plan, sockets: usize, properties: &Properties) -> Shape {
    Shape {
        nodes: plan.policy.nodes,
        surge: plan.policy.surge,
        sockets,
        peers: plan.peers,
        master_serves: plan.master_listen,
        endpoints: plan.endpoints,
        foreign: properties.descriptors,
        gateway: plan.gateway.is_some(),
    }
}

fn policy(plan: &Plan, properties: &Properties, room: Room) -> Policy {
    Policy {
        room_for: room.shape.most_nodes(room.limit, plan.policy.max_nodes),
        same_program: properties.same_program,
        all_beat: properties.all_beat,
        ..plan.policy.clone()
    }
}
