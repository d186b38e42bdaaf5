//! A node's beginning and end: welcomed, serving, drained.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use multi_node_bus::{Bus, BusLimits};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;

use super::leases::Leases;
use super::life::Life;
use super::master::Master;
use super::measures::Measures;
use super::orphan;
use super::owners::Named;
use super::parent::Parent;
use crate::control::{self, Fd, HelloAck, PassedSocket, Reserve, Skipped, ToMaster, Writer};
use crate::descriptors::Demand;
use crate::handoff::{Busy, Links, Successors};
use crate::lease::LeasePlace;
use crate::limits::{self, SharedTable};
use crate::log_buffer::LogBuffer;
use crate::options::Metering;
use crate::process_links::{End, ProcessLinks};
use crate::serve::{
    self, AcceptControl, Affinity, BusyHandoff, DrainReport, DrainSignal, LoadTable, Owners, Place, Serving, Socket,
};
use crate::servers::Servers;
use crate::signals::NodeSignals;
use crate::tls::Receivers;
use crate::wiring;
use crate::{Error, Handle, Heartbeat, Nodes, environment, sys};
use multi_node_fleet::status::Drained;

/// How many messages to the master, and how many connections for the successors, may wait.
const QUEUE: usize = 64;

/// How long the last message to the master may take.
const LAST_WORD: Duration = Duration::from_millis(100);

/// How many keys limits can count if a node has no shared table.
const KEYS_ALONE: usize = 65_536;

/// The first protocol version in which a node reports what became of its connections.
const TELLS_DRAINED: u32 = 2;

/// By how many thousandths of all memory a node looks larger than it is to the kernel, when memory runs out.
const OOM_SCORE: i32 = 100;

/// Joins the program as a node: returns when it serves.
pub(crate) async fn join(
    servers: Servers,
    addresses: Vec<Vec<String>>,
    heartbeat: Option<Heartbeat>,
    metering: Metering,
    bus_limits: BusLimits,
    affinity: Option<Affinity>,
    hand_off_when_busy: bool,
) -> Result<Nodes, Error> {
    let mut parent = Parent::take()?;
    // It lives while it answers, so that its number is its own until then.
    let master = Master::of(&parent.socket);
    let mut hello_ack = parent.hello(addresses, affinity.is_some()).await?;
    let Parent { mut reader, writer, socket } = parent;
    let settings = hello_ack.settings.clone();
    let (outbox, messages) = mpsc::channel(QUEUE);
    tokio::spawn(write(writer, messages));
    let demand = Demand::of_welcomed(hello_ack.servers.iter().map(Vec::len).sum(), settings.mesh_files);
    let most_connections = most_connections(&demand, &outbox).await?;
    // Before the guard, which is a thread: the table of files grows at once.
    reader.reserve = Reserve::of(settings.mesh_files);
    let guard = orphan::guard(socket, master.process(), settings.drain_timeout)
        .map_err(Error::io("prepare for the end of the master"))?;
    show_slot(&hello_ack);
    offer_memory();

    let sockets = PassedSocket::open_all(mem::take(&mut hello_ack.servers)).map_err(|error| lost(&error))?;
    let held = held(&sockets)?;
    let wake_fd = owned(hello_ack.wake_fd)?;
    let load = owned(hello_ack.load)?;
    let load = LoadTable::open(load).map_err(Error::io("map the load table"))?;
    let limits = table(hello_ack.limits.and_then(|table| table.into_owned().ok()), hello_ack.line);
    let line = load.line(hello_ack.line).ok_or_else(incomplete)?;
    let (handoff_sender, idle_conns) = mpsc::channel(QUEUE);
    line.set_on_trial(hello_ack.trial);
    let owners = affinity.map(Owners::new);
    // Requests with owners, and connections of other event loops, stay.
    let hands_off = hand_off_when_busy
        && owners.is_none()
        && heartbeat.is_none()
        && control::has_capability(&hello_ack.capabilities, control::OFFERS_WHEN_BUSY);
    let busy_handoff = hands_off.then(|| BusyHandoff::of_runtime(line.clone())).flatten();
    let place = Place {
        load: load.clone(),
        line: hello_ack.line,
        wake_fd: Some(wake_fd),
        handoff_sender: Some(handoff_sender),
        most_connections,
        owners: owners.clone(),
        busy_handoff: busy_handoff.clone(),
        // Clients that it knew before other nodes know it would be taken to those.
        paused: owners.is_some(),
    };

    let skipped = skipped(&load, hello_ack.line);
    reader.count_skipped(skipped.clone());
    let handoff_links = Links::new(skipped, owners.is_some())
        .with_busy(busy_handoff.clone().map(|handoff| Busy::new(hello_ack.id, handoff, load.clone())));
    let handoff_receiver = handoff_links.handoff_receiver();
    let accept_control = Arc::<OnceLock<AcceptControl>>::default();
    let bus = Bus::new(hello_ack.id, bus_limits);
    if !control::has_capability(&hello_ack.capabilities, control::BUS) {
        // Nobody is named for it by a master of an earlier release.
        bus.members_complete();
    }
    bus.joined(hello_ack.id, Some(hello_ack.slot), true);
    let (nodes, links) = wiring::wire(
        hello_ack.id,
        Some(hello_ack.slot),
        &sockets,
        (&load, limits, bus.clone(), servers.terminators()),
        (LogBuffer::default(), hello_ack.secret),
        (owners.clone(), busy_handoff),
        LeasePlace::of_node(),
    );
    let (handle, ProcessLinks { peers, asked, leases, snapshot, end, drain, draining, .. }) = (nodes.handle(), links);
    snapshot.send_modify(|snapshot| snapshot.status.wanted = hello_ack.slots);

    let signals = NodeSignals::install(settings.signals).map_err(Error::io("install signal handlers"))?;
    let measures = Measures::new(metering, handle.clone(), outbox.clone());
    measures.heed(&settings);
    let (fate_sender, fate) = watch::channel(End::Done);
    let tls = Receivers::of(&servers);
    if let Some(state) = &hello_ack.tls
        && let Err(error) = tls.replace(state)
    {
        // Its server does not start then.
        crate::log::error!("cannot use the certificates of the master: {error}");
    }
    let life = Life {
        id: hello_ack.id,
        reader: Some(reader),
        next_master_due: None,
        master: Some(master),
        sockets: held,
        guard,
        outbox: outbox.clone(),
        peers,
        asked,
        pending: BTreeMap::new(),
        tickets: 0,
        leases: Leases::new(leases, control::has_capability(&hello_ack.capabilities, control::LEASES)),
        snapshot,
        drain,
        draining: draining.clone(),
        end: end.subscribe(),
        links: handoff_links,
        asks_for_streams: control::has_capability(&hello_ack.capabilities, control::LATE_STREAMS),
        streams: BTreeMap::new(),
        unnamed: owners.is_some(),
        named: Named::default(),
        owners,
        wanted: bus.wanted(),
        bus: bus.clone(),
        linked: BTreeSet::new(),
        successors: Successors::of(idle_conns),
        accept_control: accept_control.clone(),
        signals,
        heartbeat,
        fate: fate_sender,
        measures: measures.clone(),
        tls,
        settings,
    };
    tokio::spawn(life.run().instrument(handle.span()));

    let started = start(servers, sockets, place, &handle, &draining, &fate).instrument(handle.span());
    let serving = match started.await {
        Ok(serving) => serving,
        Err(error) => {
            say(&outbox, ToMaster::Failed { why: cause(&error) }).await;
            return Err(error);
        }
    };
    // They are set only here.
    let _ = handoff_receiver.set(serving.handoff_receiver());
    let _ = accept_control.set(serving.accept_control());
    say(&outbox, ToMaster::Ready).await;
    let told = (hello_ack.version >= TELLS_DRAINED).then_some(outbox);
    tokio::spawn(finish(serving, handle.clone(), (told, measures, bus), fate, end).instrument(handle.span()));
    Ok(nodes)
}

/// The table of limits that all processes share. A master of an earlier release has none: then each node counts for itself.
fn table(file: Option<OwnedFd>, line: usize) -> SharedTable {
    let shared = file.ok_or_else(|| "the master has no table of them".to_owned());
    let shared = shared.and_then(|file| SharedTable::open(&file).map_err(|error| error.to_string()));
    let own = shared.and_then(|table| table.of_process(line).ok_or_else(|| "it has no cells for this node".to_owned()));
    own.unwrap_or_else(|why| {
        crate::log::warn!(why, "limits count for each node by itself");
        limits::of_this_process(KEYS_ALONE)
    })
}

/// Counts the messages that this node skips, where everybody sees it.
fn skipped(load: &LoadTable, line: usize) -> Skipped {
    let load = load.clone();
    Skipped::told(move || load.skipped(line))
}

/// The listening sockets once more, for when the master is gone.
fn held(sockets: &[Vec<Socket>]) -> Result<Vec<Socket>, Error> {
    let held = sockets.iter().flatten().map(Socket::try_clone).collect::<std::io::Result<_>>();
    held.map_err(Error::io("duplicate a listening socket"))
}

/// How many connections fit beside what the node needs; without room for that, the node tells the master.
async fn most_connections(demand: &Demand, outbox: &mpsc::Sender<Outgoing>) -> Result<Option<usize>, Error> {
    let limit = open_file_limit();
    if let Err(error) = demand.check(limit) {
        say(outbox, ToMaster::Failed { why: error.to_string() }).await;
        return Err(error);
    }
    Ok(demand.connections(limit))
}

/// Raises this process's limit of open files, which its master may have left as it was, and tells it.
fn open_file_limit() -> Option<u64> {
    if let Err(error) = sys::process::raise_file_limit() {
        crate::log::warn!(%error, "cannot raise the limit of open files");
    }
    sys::process::file_limit()
}

fn incomplete() -> Error {
    Error::Control { cause: "the master's welcome lacks something".to_owned() }
}

fn owned(fd: Fd) -> Result<OwnedFd, Error> {
    fd.into_owned().map_err(|error| lost(&error))
}

/// A descriptor that the master has sent.
fn lost(error: &io::Error) -> Error {
    Error::Control { cause: error.to_string() }
}

/// What the master reads of a failed start: its cause alone, since it knows what failed.
fn cause(error: &Error) -> String {
    match error {
        Error::Start { cause } => cause.clone(),
        other => other.to_string(),
    }
}

/// Runs the factories and opens the gate, unless the node has to leave before.
async fn start(
    servers: Servers,
    sockets: Vec<Vec<Socket>>,
    place: Place,
    handle: &Handle,
    draining: &DrainSignal,
    fate: &watch::Receiver<End>,
) -> Result<Serving, Error> {
    tokio::select! {
        serving = serve::start_after(handle.settled(), servers, sockets, place, handle.clone(), draining.clone()) => {
            serving.map_err(|error| Error::Start { cause: error.to_string() })
        }
        () = draining.draining() => Err(match &*fate.borrow() {
            End::MasterGone => Error::MasterGone,
            _ => Error::Start { cause: "the node was told to leave before it was ready".to_owned() },
        }),
    }
}

/// Waits for the last answer, and then reports the end to the program, and to a master that understands it.
async fn finish(
    mut serving: Serving,
    handle: Handle,
    (master, measures, bus): (Option<mpsc::Sender<Outgoing>>, Measures, Bus),
    fate: watch::Receiver<End>,
    end: watch::Sender<Option<End>>,
) {
    let outcome = serving.finished().await;
    handle.jobs_ended().await;
    measures.tell_last().await;
    bus.flush(LAST_WORD).await;
    let fate = match outcome {
        Ok(DrainReport { finished, handed_off, aborted }) => {
            let (kept, kept_closed) = serving.kept();
            crate::log::info!(target: "multi_node", finished, handed_off, aborted, kept, kept_closed, "connections have ended");
            if let Some(master) = master {
                let drained = ToMaster::Drained(Drained { finished, handed_off, aborted, kept, kept_closed });
                // A master that does not read must not keep the node from its end.
                let _ = tokio::time::timeout(LAST_WORD, say(&master, drained)).await;
            }
            fate.borrow().clone()
        }
        Err(error) => End::Failed(error.to_string()),
    };
    end.send_replace(Some(fate));
}

/// When memory runs out, the kernel should kill a node rather than the master, whose end is the end of all.
fn offer_memory() {
    if let Err(error) = sys::process::raise_oom_score(OOM_SCORE) {
        crate::log::debug!(%error, "cannot make this node likelier to be killed than its master");
    }
}

/// Lets `ps` and `top` show the slot, as `name:slot`: a process's main thread has its name (proc(5)), at most 15 bytes.
fn show_slot(hello_ack: &HelloAck) {
    const LONGEST: usize = 15;
    let suffix = format!(":{}", hello_ack.slot);
    let (program, _) = environment::command_line();
    let name = std::path::Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    let room = LONGEST - suffix.len();
    let end = (0..=room.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    if let Err(error) = std::fs::write("/proc/self/comm", format!("{}{suffix}", &name[..end])) {
        crate::log::debug!(%error, "cannot name the process");
    }
}

/// A message, and who wants to know when it has been written.
pub(super) type Outgoing = (ToMaster, Option<oneshot::Sender<()>>);

/// Returns once the message has been written, or can't be.
pub(super) async fn say(outbox: &mpsc::Sender<Outgoing>, message: ToMaster) {
    let (written, confirmed) = oneshot::channel();
    if outbox.send((message, Some(written))).await.is_ok() {
        // An error means that the master is gone, which the reading side tells.
        let _ = confirmed.await;
    }
}

async fn write(mut writer: Writer<ToMaster>, mut messages: mpsc::Receiver<Outgoing>) {
    while let Some((message, written)) = messages.recv().await {
        if writer.send(message).await.is_err() {
            return;
        }
        if let Some(written) = written {
            let _ = written.send(());
        }
    }
}
