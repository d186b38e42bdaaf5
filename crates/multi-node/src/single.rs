//! Single-process mode: the same API, served by the one process that called `listen`.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use multi_node_bus::Bus;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::command::{Command, CommandError, Report};
use crate::endpoints::Endpoints;
use crate::id::{NodeId, Slot};
use crate::lease::{LeasePlace, OwnLeases};
use crate::options::{Address, Settings};
use crate::process_links::{CommandRequest, End, ProcessLinks, Snapshot};
use crate::serve::{self, Drain, LoadTable, Place, Serving, Socket};
use crate::servers::Servers;
use crate::signals::MasterSignals;
use crate::tls::Keeper;
use crate::tls_state::TlsSource;
use crate::wiring;
use crate::{Error, Nodes, bind, limits};
use multi_node_fleet::status::{SlotStatus, State, Status};
use multi_node_process::mesh::{Peers, Wish};

/// Serves in this process: returns when it does.
pub(crate) async fn listen(
    (servers, keeper): (Servers, Option<Keeper>),
    sockets: Vec<Vec<Socket>>,
    addresses: Vec<Vec<Address>>,
    settings: Settings,
    endpoints: Endpoints,
) -> Result<Nodes, Error> {
    let signals = MasterSignals::install(settings.signals).map_err(Error::io("install signal handlers"))?;
    let load = LoadTable::local();
    let limits = limits::of_this_process(settings.max_keys);
    let bus = Bus::new(NodeId::MASTER, wiring::bus_limits(&settings));
    bus.members_complete();
    let log_buffer = endpoints.log_buffer();
    let place = LeasePlace::of_run(&settings);
    let shared = (&load, limits, bus, servers.terminators());
    let (nodes, links) = wiring::wire(NodeId::MASTER, None, &sockets, shared, (log_buffer, None), (None, None), place);
    let ProcessLinks { peers, asked, leases, snapshot, end, drain, draining, .. } = links;
    let tls = keeper.map_or_else(|| Ok(TlsSource::none()), Keeper::start)?;
    snapshot.send_replace(shown(State::Initializing, &tls));
    let most_connections = connections(&sockets, &settings);
    let place = Place { most_connections, ..Place::new(load, 0) };
    let serving = serve::start(servers, sockets, place, nodes.handle(), draining).await;
    let serving = serving.map_err(|error| Error::Start { cause: error.to_string() })?;
    snapshot.send_replace(shown(State::Serving, &tls));
    let leases = OwnLeases::new(leases);
    let (drain_at, shutdowns) = (None, Vec::new());
    let alone = Single { drain, peers, asked, leases, signals, snapshot, settings, tls, drain_at, shutdowns };
    let handle = nodes.handle();
    let endpoints = endpoints.attend(nodes.handle()).await?;
    tokio::spawn(async move {
        let outcome = alone.run(serving).await;
        handle.jobs_ended().await;
        bind::unlink_unserved(&addresses).await;
        endpoints.close().await;
        #[cfg(multi_process)]
        crate::run_directory::remove(std::process::id());
        end.send_replace(Some(outcome));
    });
    Ok(nodes)
}

/// How many connections the limit of open files allows, once that is raised.
#[cfg(multi_process)]
fn connections(sockets: &[Vec<Socket>], settings: &Settings) -> Option<usize> {
    if let Err(error) = crate::sys::process::raise_file_limit() {
        crate::log::warn!(%error, "cannot raise the limit of open files");
    }
    let sockets = sockets.iter().map(Vec::len).sum();
    let demand = crate::descriptors::Demand::alone(sockets, settings.endpoints());
    demand.connections(crate::sys::process::file_limit())
}

/// It is not known how many connections the system allows.
#[cfg(not(multi_process))]
fn connections(_: &[Vec<Socket>], _: &Settings) -> Option<usize> {
    None
}

fn shown(state: State, tls: &TlsSource) -> Snapshot {
    let mut slot = SlotStatus::new(Slot(0), state, SystemTime::now());
    (slot.id, slot.pid) = (Some(NodeId::MASTER), Some(std::process::id()));
    let mut status = Status::of_one(slot);
    status.certificates.clone_from(&tls.view.borrow().shown);
    Snapshot { status, lines: vec![Some(0)], ..Snapshot::default() }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The loop of a process that serves alone.
struct Single {
    drain: Drain,
    peers: Peers,
    asked: mpsc::Receiver<CommandRequest>,
    leases: OwnLeases,
    signals: MasterSignals,
    snapshot: watch::Sender<Snapshot>,
    settings: Settings,
    tls: TlsSource,
    /// When the drain begins, once it has been ordered.
    drain_at: Option<Instant>,
    /// Who waits for the end.
    shutdowns: Vec<tokio::sync::oneshot::Sender<Result<Report, CommandError>>>,
}

impl Single {
    async fn run(mut self, mut serving: Serving) -> End {
        // Asked once, and not again when something else has come meanwhile.
        let mut finished = pin!(serving.finished());
        let end = loop {
            tokio::select! {
                outcome = &mut finished => break match outcome {
                    Ok(_) => End::Done,
                    Err(error) => End::Failed(error.to_string()),
                },
                Some(ask) = self.asked.recv() => self.ask(ask),
                () = self.leases.turn() => {}
                wish = self.peers.wish() => match wish {
                    Wish::Leave => self.shut_down(),
                    // There is no other process.
                    Wish::Peers | Wish::Rejoin(_) => {}
                },
                () = self.tls.changed() => {
                    let shown = self.tls.view.borrow().shown.clone();
                    self.snapshot.send_modify(|snapshot| snapshot.status.certificates = shown);
                }
                () = due(self.drain_at) => {
                    self.drain_at = None;
                    self.begin_drain();
                }
                signal = self.signals.next() => match signal.command() {
                    Command::Shutdown { now: false } => self.shut_down(),
                    Command::Shutdown { now: true } => break End::Done,
                    _ => crate::log::warn!("nothing to reload: the program runs as a single process"),
                },
            }
        };
        for reply in self.shutdowns.drain(..) {
            // The caller may have stopped waiting.
            let _ = reply.send(Ok(Report::Shutdown));
        }
        end
    }

    fn ask(&mut self, ask: CommandRequest) {
        match ask.command {
            Command::Shutdown { now } => {
                self.shutdowns.push(ask.reply);
                self.shut_down();
                if now {
                    self.drain.begin(Duration::ZERO);
                }
            }
            _ => drop(ask.reply.send(Err(CommandError::SingleProcess))),
        }
    }

    fn shut_down(&mut self) {
        self.drain_at.get_or_insert(Instant::now() + self.settings.shutdown_delay);
    }

    fn begin_drain(&mut self) {
        self.snapshot.send_replace(shown(State::Draining, &self.tls));
        self.drain.begin(self.settings.drain_timeout);
    }
}
