//! The master's beginning and end: everything is prepared before the first node is started.

use std::hash::{BuildHasher, Hasher, RandomState};

use tokio::sync::mpsc;

use super::child::Launcher;
use super::fleet::{Backoff, CrashLoop, Fleet, Policy, Recycling};
use super::foreign::Foreign;
use super::members::{Members, Outfit};
use super::reaper;
use super::run::{self, Supervisor};
use crate::control::NodeSettings;
use crate::endpoints::Endpoints;
use crate::id::{Generation, NodeId};
use crate::nodes::End;
use crate::options::{Address, Settings};
use crate::program::Program;
use crate::serve::{self, DrainSignal, LoadTable, Place, Servers, Serving, Socket};
use crate::signals::MasterSignals;
use crate::wires::{self, Wires};
use crate::{Error, Handle, Nodes, bind, sys};

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
    Foreign(Program),
}

/// Leads the program: returns when supervision runs.
pub(crate) async fn lead(
    settings: Settings,
    served: Served,
    sockets: Vec<Vec<Socket>>,
    addresses: Vec<Vec<Address>>,
    endpoints: Endpoints,
) -> Result<Nodes, Error> {
    if let Err(error) = sys::process::raise_file_limit() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let (servers, foreign) = match served {
        Served::Linked(servers) => (Some(servers), None),
        Served::Foreign(program) => (None, Some(program)),
    };
    let is_foreign = foreign.is_some();
    if is_foreign {
        block(&sockets).map_err(Error::io("prepare the listening sockets"))?;
    }
    let output = foreign.as_ref().and_then(|program| program.output.clone());
    let mut launcher = Launcher::new(settings.launch.clone(), output)?;
    // What cannot be found is told to the caller; the rules look it up once more.
    launcher.resolve(Generation::default())?;
    let signals = MasterSignals::install(settings.signals).map_err(Error::io("install signal handlers"))?;
    // Old nodes may drain while as many new ones serve, and the line of one that has just ended is not free yet.
    let lines = 1 + 2 * settings.max_nodes + settings.surge + 1;
    let (load, load_file) = LoadTable::create(lines).map_err(Error::io("make the load table"))?;
    let bell = serve::bell().map_err(Error::io("make the doorbell"))?;

    let (nodes, wires) = wires::wire(NodeId::MASTER, None, &sockets, &load, endpoints.journal());
    let Wires { peers, asked, snapshot, end, drain, draining } = wires;
    let place = Place { load: load.clone(), line: OWN_LINE, bell: Some(clone(&bell)?), outlet: None };
    let own = Own { place, draining };
    let serving = match servers {
        Some(servers) if settings.master_listen => Some(own.serve(servers, &sockets, nodes.handle()).await?),
        _ => None,
    };

    let (hears, heard) = mpsc::channel(QUEUE);
    let outfit = Outfit {
        addresses: addresses.iter().map(|list| list.iter().map(ToString::to_string).collect()).collect(),
        foreign: foreign.map(|program| {
            Foreign::new(program, sockets.first().map(Vec::as_slice).unwrap_or_default(), settings.backlog)
        }),
        sockets,
        load,
        load_file,
        bell,
        settings: node_settings(&settings),
    };
    let joining = (settings.peers, peers);
    let members = Members::new(outfit, launcher, joining, settings.max_nodes, hears, snapshot);
    let fleet = Fleet::new(policy(&settings), RandomState::new().build_hasher().finish());
    let supervisor =
        Supervisor::new(fleet, members, heard, (asked, settings.orders_from_nodes), signals, endpoints.journal());
    reaper::start();
    let endpoints = endpoints.attend(!is_foreign, nodes.handle());
    tokio::spawn(async move {
        let mut outcome = supervisor.run().await;
        drain.begin(settings.drain_timeout);
        if let Some(mut serving) = serving
            && let Err(error) = serving.finished().await
        {
            outcome = End::Failed(error.to_string());
        }
        bind::unlink(&addresses);
        endpoints.close().await;
        end.send_replace(Some(outcome));
    });
    Ok(nodes)
}

/// Programs expect sockets that block, as systemd and Server::Starter hand them; those that do not want that say so.
fn block(sockets: &[Vec<Socket>]) -> std::io::Result<()> {
    sockets.iter().flatten().try_for_each(|socket| socket.set_nonblocking(false))
}

/// The master as a server beside its nodes.
struct Own {
    place: Place,
    draining: DrainSignal,
}

impl Own {
    async fn serve(self, servers: Servers, sockets: &[Vec<Socket>], handle: Handle) -> Result<Serving, Error> {
        let duplicate = |sockets: &Vec<Socket>| sockets.iter().map(Socket::try_clone).collect();
        let sockets = sockets.iter().map(duplicate).collect::<std::io::Result<Vec<Vec<Socket>>>>();
        let sockets = sockets.map_err(Error::io("duplicate a listening socket"))?;
        let serving = serve::start(servers, sockets, self.place, handle, self.draining).await;
        serving.map_err(|error| Error::Start { cause: error.to_string() })
    }
}

fn clone(fd: &std::os::fd::OwnedFd) -> Result<std::os::fd::OwnedFd, Error> {
    fd.try_clone().map_err(Error::io("duplicate the doorbell"))
}

fn node_settings(settings: &Settings) -> NodeSettings {
    NodeSettings {
        drain_timeout: run::cut_after(settings.drain_timeout),
        heartbeat: settings.hang_timeout.map(|silence| silence / BEATS),
        signals: settings.signals,
    }
}

fn policy(settings: &Settings) -> Policy {
    let (initial, max) = settings.backoff;
    let (deaths, within) = settings.crash_loop;
    Policy {
        nodes: settings.nodes,
        max_nodes: settings.max_nodes,
        restart: settings.restart,
        backoff: Backoff { initial, max, jitter: settings.backoff_jitter },
        crash_loop: CrashLoop { deaths, within },
        surge: settings.surge,
        start_timeout: settings.start_timeout,
        drain_timeout: settings.drain_timeout,
        shutdown_delay: settings.shutdown_delay,
        hang_timeout: settings.hang_timeout,
        recycling: Recycling {
            max_requests: settings.max_requests,
            max_age: settings.max_age,
            max_memory: settings.max_memory,
            jitter: settings.recycle_jitter,
        },
    }
}
