//! The master's beginning and end: everything is prepared before the first node is started.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::child::Launcher;
use super::fleet::{Backoff, Canary, CrashLoop, Fleet, Limits, Policy, Recycling};
use super::foreign::Foreign;
use super::launch::System;
use super::members::{Members, Outfit};
use super::reaper;
use super::run::{self, Supervisor, Terms};
use super::upgrade::{Call, Estate, Heritage};
use crate::control::NodeSettings;
use crate::descriptors::Shape;
use crate::endpoints::Endpoints;
use crate::foreign::Program;
use crate::id::{Generation, NodeId};
use crate::options::{Address, Settings};
use crate::serve::{self, DrainSignal, Entrance, LoadTable, Place, Serving, Socket};
use crate::servers::Servers;
use crate::signals::MasterSignals;
use crate::wires::End;
use crate::wires::Wires;
use crate::wiring;
use crate::{Error, Handle, Heartbeat, Nodes, SharedSecret, bind, environment, plan, sys};

/// How much news of nodes may wait for the loop.
const QUEUE: usize = 256;

/// How many heartbeats a node is to send within the time after which its silence counts.
const BEATS: u32 = 4;

/// The master's own line in the load table.
const OWN_LINE: usize = 0;

/// What the nodes serve by.
pub(crate) enum Served {
    /// Servers of this program.
    Linked(Servers),
    /// Another program, which serves by itself.
    Foreign(Box<Program>),
}

impl Served {
    fn program(&self) -> Option<&Program> {
        match self {
            Served::Linked(_) => None,
            Served::Foreign(program) => Some(program),
        }
    }

    fn apart(self) -> (Option<Servers>, Option<Program>) {
        match self {
            Served::Linked(servers) => (Some(servers), None),
            Served::Foreign(program) => (None, Some(*program)),
        }
    }
}

/// What the process may open, and what its program needs of that.
#[derive(Clone, Copy, Debug)]
struct Room {
    shape: Shape,
    limit: Option<u64>,
    /// The soft limit of open files that this program was started with, for programs that do not link this crate.
    given: Option<u64>,
}

impl Room {
    /// Raises the limit to what this process may have.
    fn make(shape: Shape) -> Room {
        let given = sys::process::raise_file_limit().unwrap_or_else(|error| {
            crate::log::warn!(%error, "cannot raise the limit of open files");
            sys::process::file_limit()
        });
        Room { shape, limit: sys::process::file_limit(), given }
    }
}

/// What supervision stands on, made anew or left by another master.
struct Ground {
    launcher: Launcher,
    sockets: Vec<Vec<Socket>>,
    load: LoadTable,
    load_file: OwnedFd,
    bell: OwnedFd,
    fleet: Fleet,
    heritage: Option<Heritage>,
    servers: Option<Servers>,
    foreign: Option<Foreign>,
    room: Room,
    secret: SharedSecret,
}

/// Leads the program: returns when supervision runs.
pub(crate) async fn lead(
    settings: Settings,
    served: Served,
    sockets: Vec<Vec<Socket>>,
    addresses: Vec<Vec<Address>>,
    endpoints: Endpoints,
) -> Result<Nodes, Error> {
    let count = sockets.iter().map(Vec::len).sum();
    let room = Room::make(shape(&settings, count, served.program()));
    room.shape.check(room.limit)?;
    let ground = found(&settings, sockets, served, room)?;
    supervise(ground, settings, addresses, endpoints).await
}

/// Leads the program in the place of one that led it before; or says whether that could be done, and does not return.
pub(crate) async fn succeed(
    call: Call,
    mut settings: Settings,
    served: Served,
    addresses: Vec<Vec<Address>>,
) -> Result<Nodes, Error> {
    let program = served.program();
    let room = Room::make(shape(&settings, addresses.iter().map(Vec::len).sum(), program));
    if let Err(error) = room.shape.check(room.limit) {
        return Err(call.refuse(error).await);
    }
    let estate = call.accept(&written(&addresses), program).await?;
    let endpoints = Endpoints::reopen(&mut settings).await;
    let ground = inherit(&settings, estate, served, room)?;
    supervise(ground, settings, addresses, endpoints).await
}

fn found(settings: &Settings, sockets: Vec<Vec<Socket>>, served: Served, room: Room) -> Result<Ground, Error> {
    let (servers, program) = served.apart();
    if let Some(program) = &program {
        prepare(&sockets, program).map_err(Error::io("prepare the listening sockets"))?;
    }
    let mut launcher = launcher(settings, program.as_ref(), false)?;
    // What cannot be found is told to the caller; the rules look it up once more.
    launcher.resolve(Generation::default())?;
    // In each slot one node may serve, one come up, and those of two older generations drain. The line of one that has just
    // ended is not free yet.
    let lines = 1 + 4 * settings.max_nodes + settings.surge + 1;
    let (load, load_file) = LoadTable::create(lines).map_err(Error::io("make the load table"))?;
    let bell = serve::bell().map_err(Error::io("make the doorbell"))?;
    let fleet = Fleet::new(policy(settings, program.as_ref(), room), seed());
    let foreign = program.map(|program| Foreign::new(program, first(&sockets), settings, room.given)).transpose()?;
    Ok(Ground {
        launcher,
        sockets,
        load,
        load_file,
        bell,
        fleet,
        heritage: None,
        servers,
        foreign,
        room,
        secret: secret()?,
    })
}

fn inherit(settings: &Settings, estate: Estate, served: Served, room: Room) -> Result<Ground, Error> {
    let Estate { sockets, load_file, bell, images, fleet, secret: left_secret, foreign, left, heritage } = estate;
    let secret = left_secret.map_or_else(secret, Ok)?;
    let (servers, program) = served.apart();
    let mut launcher = launcher(settings, program.as_ref(), true)?;
    launcher.inherit(images);
    let load = load_file.try_clone().and_then(LoadTable::open).map_err(Error::io("map the load table"))?;
    let fleet = Fleet::restore(policy(settings, program.as_ref(), room), seed(), fleet, left, Instant::now());
    let foreign = program.zip(foreign).map(|(program, left)| Foreign::resume(program, left, first(&sockets), settings));
    Ok(Ground {
        launcher,
        sockets,
        load,
        load_file,
        bell,
        fleet,
        heritage: Some(heritage),
        servers,
        foreign,
        room,
        secret,
    })
}

/// What this program's processes share, made anew.
fn secret() -> Result<SharedSecret, Error> {
    sys::random::bytes().map(SharedSecret::new).map_err(Error::io("make a shared secret"))
}

/// `inherits`: another program of this process was the master before, and has held signals back.
fn launcher(settings: &Settings, program: Option<&Program>, inherits: bool) -> Result<Launcher, Error> {
    let system = System::new(program.is_some(), inherits).map_err(Error::io("start a thread"))?;
    Launcher::new(settings.launch.clone(), program, plan::own_run(settings), Arc::new(system))
}

/// The sockets of the only server, where it is another program.
fn first(sockets: &[Vec<Socket>]) -> &[Socket] {
    sockets.first().map(Vec::as_slice).unwrap_or_default()
}

async fn supervise(
    ground: Ground,
    settings: Settings,
    addresses: Vec<Vec<Address>>,
    endpoints: Endpoints,
) -> Result<Nodes, Error> {
    let Ground { launcher, sockets, load, load_file, bell, fleet, mut heritage, servers, foreign, room, secret } =
        ground;
    let signals = signals(&settings, heritage.as_ref()).map_err(Error::io("install signal handlers"))?;
    let log_buffer = endpoints.log_buffer();
    // What a node of another program wrote last may tell why it has ended.
    let log_buffer = if foreign.is_some() { log_buffer.keep() } else { log_buffer };
    let (nodes, wires) = wiring::wire(NodeId::MASTER, None, &sockets, &load, log_buffer.clone(), Some(secret.clone()));
    let Wires { peers, asked, snapshot, end, exits, drain, draining } = wires;
    let most_connections = room.shape.master().connections(room.limit);
    let place = Place { load: load.clone(), line: OWN_LINE, bell: Some(clone(&bell)?), outlet: None, most_connections };
    let own = Own { place, draining, heartbeat: settings.heartbeat.clone() };
    let serving = match servers {
        Some(servers) if settings.master_listen => Some(own.serve(servers, &sockets, nodes.handle()).await?),
        _ => None,
    };

    let (hears, heard) = mpsc::channel(QUEUE);
    let outfit = Outfit {
        addresses: written(&addresses),
        foreign,
        sockets,
        load,
        load_file,
        bell,
        settings: node_settings(&settings),
        secret,
        shape: room.shape,
    };
    let joining = (settings.peers, peers);
    let backoff = backoff(&settings);
    let times = (settings.max_nodes, settings.drain_timeout, backoff);
    let mut members = Members::new(outfit, launcher, joining, times, hears, snapshot);
    members.start_guard(heritage.as_mut().and_then(|heritage| heritage.guard.take()));
    members.start_primary(heritage.as_mut().and_then(|heritage| heritage.primary.take()));
    let orders = (asked, terms(&settings));
    let supervisor = Supervisor::new(
        fleet,
        members,
        heard,
        orders,
        (signals, drain.clone()),
        (log_buffer, endpoints.told(), exits, heritage),
    );
    reaper::start();
    let endpoints = endpoints.attend(nodes.handle()).await?;
    tokio::spawn(async move {
        let mut outcome = supervisor.run().await;
        drain.begin(settings.drain_timeout);
        if let Some(mut serving) = serving
            && let Err(error) = serving.finished().await
        {
            outcome = End::Failed(error.to_string());
        }
        bind::unlink_unserved(&addresses).await;
        endpoints.close().await;
        end.send_replace(Some(outcome));
    });
    Ok(nodes)
}

/// The handlers, behind which those signals come that nobody has dealt with.
fn signals(settings: &Settings, heritage: Option<&Heritage>) -> std::io::Result<MasterSignals> {
    let mut signals = MasterSignals::install(settings.signals)?;
    if let Some(heritage) = heritage {
        signals.inherit(heritage.signals.iter().copied());
        sys::exec::release_signals()?;
    }
    Ok(signals)
}

fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn written(addresses: &[Vec<Address>]) -> Vec<Vec<String>> {
    addresses.iter().map(|list| list.iter().map(ToString::to_string).collect()).collect()
}

fn terms(settings: &Settings) -> Terms {
    Terms {
        orders_from_nodes: settings.orders_from_nodes,
        start_timeout: settings.start_timeout,
        adopt_timeout: settings.adopt_timeout,
        master_listen: settings.master_listen,
    }
}

/// Programs expect sockets that block, as systemd and Server::Starter hand them; those that do not want that say so. Small
/// writes are to be sent at once: those that are handed a socket may not say that (uvicorn by `--fd` does not), and an answer
/// in two parts waits 40 ms for the client's acknowledgement then.
fn prepare(sockets: &[Vec<Socket>], program: &Program) -> std::io::Result<()> {
    sockets.iter().flatten().try_for_each(|socket| {
        socket.set_nonblocking(false)?;
        socket.set_nodelay()?;
        if program.defer_accept { socket.defer_accept() } else { Ok(()) }
    })
}

/// The master as a server beside its nodes.
struct Own {
    place: Place,
    draining: DrainSignal,
    /// Whose pulse counts, where it is not this runtime's.
    heartbeat: Option<Heartbeat>,
}

impl Own {
    async fn serve(self, servers: Servers, sockets: &[Vec<Socket>], handle: Handle) -> Result<Serving, Error> {
        let duplicate = |sockets: &Vec<Socket>| sockets.iter().map(Socket::try_clone).collect();
        let sockets = sockets.iter().map(duplicate).collect::<std::io::Result<Vec<Vec<Socket>>>>();
        let sockets = sockets.map_err(Error::io("duplicate a listening socket"))?;
        let serving = serve::start(servers, sockets, self.place, handle, self.draining.clone()).await;
        let serving = serving.map_err(|error| Error::Start { cause: error.to_string() })?;
        tokio::spawn(beat(serving.entrance(), self.heartbeat, self.draining));
        Ok(serving)
    }
}

/// Shows the nodes that the master takes connections as they do, until it drains.
async fn beat(entrance: Entrance, heartbeat: Option<Heartbeat>, draining: DrainSignal) {
    let mut pulse = serve::pulse();
    loop {
        tokio::select! {
            () = draining.draining() => return,
            _ = pulse.tick() => if heartbeat.as_ref().is_none_or(Heartbeat::take) {
                entrance.beat();
            }
        }
    }
}

fn clone(fd: &OwnedFd) -> Result<OwnedFd, Error> {
    fd.try_clone().map_err(Error::io("duplicate the doorbell"))
}

/// What decides how many descriptors the processes need.
pub(super) fn shape(settings: &Settings, sockets: usize, foreign: Option<&Program>) -> Shape {
    Shape {
        nodes: settings.nodes,
        surge: settings.surge,
        sockets,
        peers: settings.peers,
        master_serves: settings.master_listen,
        endpoints: settings.endpoints(),
        foreign: foreign.map(Foreign::descriptors),
    }
}

pub(super) fn node_settings(settings: &Settings) -> NodeSettings {
    NodeSettings {
        drain_timeout: run::cut_after(settings.drain_timeout),
        heartbeat: settings.silence().map(|silence| silence / BEATS),
        signals: settings.signals,
        measures: settings.metrics.is_some(),
        measures_all: true,
        // As many nodes as there are when it is welcome decide.
        mesh_files: 0,
        own_sockets: !environment::sockets_given(),
    }
}

/// The share by which a pause between restarts is shorter or longer at random, so that slots do not restart in step.
const BACKOFF_JITTER: f64 = 0.2;

/// The share by which each node's limits of requests and age are lower, at random between 0 and this, so that slots do not come due in step.
const RECYCLE_JITTER: f64 = 0.1;

fn backoff(settings: &Settings) -> Backoff {
    let (initial, max) = settings.backoff;
    Backoff { initial, max, jitter: BACKOFF_JITTER }
}

fn policy(settings: &Settings, foreign: Option<&Program>, room: Room) -> Policy {
    let (deaths, within) = settings.crash_loop;
    Policy {
        nodes: settings.nodes,
        max_nodes: settings.max_nodes,
        room_for: room.shape.most_nodes(room.limit, settings.max_nodes),
        restart: settings.restart,
        backoff: backoff(settings),
        crash_loop: CrashLoop { deaths, within },
        rolling: settings.rolling(),
        surge: settings.surge,
        settle: settings.settle(),
        start_timeout: settings.start_timeout,
        drain_timeout: settings.drain_timeout,
        shutdown_delay: settings.shutdown_delay,
        hang_timeout: settings.silence(),
        same_program: foreign.is_none(),
        all_beat: foreign.is_none_or(|program| program.watchdog.is_some()),
        canary: settings.canary.map(|(duration, limits)| Canary {
            duration,
            limits: Limits { min_requests: limits.min_requests, margin: limits.margin },
        }),
        recycling: Recycling {
            max_requests: settings.max_requests,
            max_age: settings.max_age,
            max_memory: settings.max_memory,
            jitter: RECYCLE_JITTER,
        },
    }
}
