//! A node's life: welcomed, serving, draining.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::Instrument;

use super::measures::Measures;
use super::orphan::{self, Guard};
use super::parent::{self, Parent};
use crate::admin::Journal;
use crate::bus::{Heirs, Links};
use crate::control::{
    Drained, Join, NodeSettings, Reader, Reserve, Skipped, SocketKind, ToMaster, ToNode, Welcome, Writer,
};
use crate::descriptors::{Demand, STREAMS_A_PEER};
use crate::mesh::{self, PeerInfo, Peers, Wish};
use crate::nodes::{Ask, End, Snapshot};
use crate::options::Metering;
use crate::order::{OrderError, Report};
use crate::serve::{self, Drain, DrainReport, DrainSignal, Entrance, LoadTable, Place, Servers, Serving, Socket};
use crate::signals::NodeSignals;
use crate::status::Status;
use crate::wires::{self, Wires};
use crate::{Error, Handle, Heartbeat, Nodes, environment, sys};

/// How many messages to the master, and how many connections for the heirs, may wait.
const QUEUE: usize = 64;

/// How long the last message to the master may take.
const LAST_WORD: Duration = Duration::from_millis(100);

/// From which protocol version on a master is told what became of the connections.
const TELLS_DRAINED: u32 = 2;

/// By how many thousandths of all memory a node looks larger than it is to the kernel, when memory runs out.
const OOM_SCORE: i32 = 100;

/// Joins the program as a node: returns when it serves.
pub(crate) async fn join(
    servers: Servers,
    addresses: Vec<Vec<String>>,
    heartbeat: Option<Heartbeat>,
    metering: Metering,
) -> Result<Nodes, Error> {
    let mut parent = Parent::take()?;
    let mut welcome = parent.hello(addresses).await?;
    let Parent { mut reader, writer, socket } = parent;
    let settings = welcome.settings.clone();
    let guard =
        orphan::guard(socket, settings.drain_timeout).map_err(Error::io("prepare for the end of the master"))?;
    show_slot(&welcome);
    offer_memory();

    let sockets = adopt(&mut welcome);
    let (load, bell) = (welcome.load.take().ok_or_else(incomplete)?, welcome.bell.take().ok_or_else(incomplete)?);
    let load = LoadTable::open(load).map_err(Error::io("map the load table"))?;
    let line = load.line(welcome.line).ok_or_else(incomplete)?;
    let (outlet, parcels) = mpsc::channel(QUEUE);
    line.set_on_trial(welcome.trial);
    let (outbox, messages) = mpsc::channel(QUEUE);
    tokio::spawn(write(writer, messages));
    let demand = Demand::of_welcomed(sockets.iter().map(Vec::len).sum(), settings.mesh_files);
    let limit = open_file_limit();
    if let Err(error) = demand.check(limit) {
        say(&outbox, ToMaster::Failed { why: error.to_string() }).await;
        return Err(error);
    }
    reader.reserve = Reserve::of(settings.mesh_files);
    let most_connections = demand.connections(limit);
    let place =
        Place { load: load.clone(), line: welcome.line, bell: Some(bell), outlet: Some(outlet), most_connections };

    let skipped = skipped(&load, welcome.line);
    reader.count_skipped(skipped.clone());
    let links = Links::new(skipped);
    let intake = links.intake();
    let entrance = Arc::<OnceLock<Entrance>>::default();
    let (nodes, wires) = wires::wire(welcome.id, Some(welcome.slot), &sockets, &load, Journal::default());
    let (handle, Wires { peers, asked, snapshot, end, drain, draining, .. }) = (nodes.handle(), wires);
    snapshot.send_modify(|snapshot| snapshot.status.wanted = welcome.slots);

    let signals = NodeSignals::install(settings.signals).map_err(Error::io("install signal handlers"))?;
    let measures = Measures::new(metering, outbox.clone());
    measures.heed(&settings);
    let (fate_sender, fate) = watch::channel(End::Done);
    let life = Life {
        reader: Some(reader),
        succession: None,
        guard,
        outbox: outbox.clone(),
        peers,
        asked,
        pending: BTreeMap::new(),
        tickets: 0,
        snapshot,
        drain,
        draining: draining.clone(),
        end: end.subscribe(),
        links,
        heirs: Heirs::of(parcels),
        entrance: entrance.clone(),
        signals,
        heartbeat,
        fate: fate_sender,
        measures: measures.clone(),
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
    // Nobody else sets them.
    let _ = intake.set(serving.intake());
    let _ = entrance.set(serving.entrance());
    say(&outbox, ToMaster::Ready).await;
    let told = (welcome.version >= TELLS_DRAINED).then_some(outbox);
    tokio::spawn(finish(serving, (told, measures), fate, end).instrument(handle.span()));
    Ok(nodes)
}

/// Counts the messages that this node skips, where everybody sees it.
fn skipped(load: &LoadTable, line: usize) -> Skipped {
    let load = load.clone();
    Skipped::told(move || load.skipped(line))
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
        serving = serve::start(servers, sockets, place, handle.clone(), draining.clone()) => {
            serving.map_err(|error| Error::Start { cause: error.to_string() })
        }
        () = draining.draining() => Err(match &*fate.borrow() {
            End::MasterGone => Error::MasterGone,
            _ => Error::Start { cause: "the node was told to leave before it was ready".to_owned() },
        }),
    }
}

/// Waits for the last answer, and tells whoever waits for the end; also the master, where it understands that.
async fn finish(
    mut serving: Serving,
    (master, measures): (Option<mpsc::Sender<Outgoing>>, Measures),
    fate: watch::Receiver<End>,
    end: watch::Sender<Option<End>>,
) {
    let outcome = serving.finished().await;
    measures.tell_last().await;
    let fate = match outcome {
        Ok(DrainReport { finished, handed_over, cut }) => {
            crate::log::info!(target: "multi_node", finished, handed_over, cut, "connections have ended");
            if let Some(master) = master {
                let drained = ToMaster::Drained(Drained { finished, handed_over, cut });
                // A master that does not read must not keep the node from its end.
                let _ = tokio::time::timeout(LAST_WORD, say(&master, drained)).await;
            }
            fate.borrow().clone()
        }
        Err(error) => End::Failed(error.to_string()),
    };
    end.send_replace(Some(fate));
}

fn adopt(welcome: &mut Welcome) -> Vec<Vec<Socket>> {
    let mut fds = welcome.sockets.drain(..);
    let mut adopt = |kind: &SocketKind| fds.next().map(|fd| wires::adopt(*kind, fd));
    welcome.servers.iter().map(|kinds| kinds.iter().filter_map(&mut adopt).collect()).collect()
}

/// Where memory runs out, a node is to be killed rather than the master, whose end is everybody's.
fn offer_memory() {
    if let Err(error) = sys::process::raise_oom_score(OOM_SCORE) {
        crate::log::debug!(%error, "cannot make this node likelier to be killed than its master");
    }
}

/// Lets `ps` and `top` show the slot, as `name:slot`: a process's main thread has its name (proc(5)), at most 15 bytes.
fn show_slot(welcome: &Welcome) {
    const LONGEST: usize = 15;
    let suffix = format!(":{}", welcome.slot);
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

/// The node's loop: it hears the master, the program and the signals, and owns what they change.
struct Life {
    /// `None` once the master is gone.
    reader: Option<Reader<ToNode>>,
    /// Until when the next master is waited for, once this one has said that it leaves.
    succession: Option<Instant>,
    guard: Guard,
    outbox: mpsc::Sender<Outgoing>,
    peers: Peers,
    asked: mpsc::Receiver<Ask>,
    /// Orders that the master has not answered yet.
    pending: BTreeMap<u64, oneshot::Sender<Result<Report, OrderError>>>,
    tickets: u64,
    snapshot: watch::Sender<Snapshot>,
    drain: Drain,
    draining: DrainSignal,
    /// Set once the last answer is out.
    end: watch::Receiver<Option<End>>,
    links: Links,
    heirs: Heirs,
    /// Empty before the node serves.
    entrance: Arc<OnceLock<Entrance>>,
    signals: NodeSignals,
    /// Whose pulse counts, where it is not this runtime's.
    heartbeat: Option<Heartbeat>,
    /// How the service will have ended once it has drained.
    fate: watch::Sender<End>,
    measures: Measures,
    settings: NodeSettings,
}

impl Life {
    async fn run(mut self) {
        let mut pulse = serve::pulse();
        let mut last_beat = Instant::now();
        loop {
            tokio::select! {
                message = next(&mut self.reader) => self.hear(message),
                Some(ask) = self.asked.recv() => self.ask(ask).await,
                () = due(self.succession) => self.orphaned(&Error::MasterGone),
                wish = self.peers.wish() => match wish {
                    Wish::Leave => self.leave("the program dropped its `Nodes`").await,
                    // A full outbox means that the master does not read, and will not join anybody.
                    Wish::Rejoin(peer) => drop(self.outbox.try_send((ToMaster::Rejoin { peer }, None))),
                },
                () = self.signals.leave() => self.leave("a signal").await,
                () = over(&mut self.end), if self.peers.is_open() => self.peers.close(),
                _ = pulse.tick() => if self.heartbeat.as_ref().is_none_or(Heartbeat::take) {
                    self.entrance.get().inspect(|entrance| entrance.beat());
                    self.reader.iter_mut().for_each(|reader| reader.reserve.refill());
                    if self.settings.heartbeat.is_some_and(|every| last_beat.elapsed() >= every) {
                        last_beat = Instant::now();
                        // A full outbox holds earlier messages, which show as much.
                        let _ = self.outbox.try_send((ToMaster::Beat, None));
                    }
                }
            }
        }
    }

    fn hear(&mut self, message: io::Result<Option<ToNode>>) {
        match message {
            Ok(Some(ToNode::Joined { peers })) => peers.into_iter().for_each(|join| self.join(join)),
            Ok(Some(ToNode::Rejoined { peer, stream: Some(stream) })) => self.rejoined(peer, stream),
            Ok(Some(ToNode::Rejoined { .. })) => {}
            Ok(Some(ToNode::PeerDrains { id })) => self.peers.drains(id),
            Ok(Some(ToNode::Gone { id })) => {
                self.peers.part(id);
                self.links.part(id);
                self.reader.iter_mut().for_each(|reader| reader.reserve.take_back(STREAMS_A_PEER));
            }
            Ok(Some(ToNode::Drain { within, heirs, closing })) => {
                // Each connection that is handed over needs a second descriptor for a moment.
                self.reader.iter_mut().for_each(|reader| reader.reserve.spend());
                self.heirs.appoint(&self.links, &heirs);
                match (heirs.is_empty(), closing) {
                    (true, true) => self.drain.begin_last(within),
                    (true, false) => self.drain.begin(within),
                    (false, _) => self.drain.begin_staggered(within),
                }
            }
            Ok(Some(ToNode::Pause)) => drop(self.entrance.get().map(Entrance::pause)),
            Ok(Some(ToNode::Resume)) => drop(self.entrance.get().map(Entrance::resume)),
            Ok(Some(ToNode::Status { status, lines })) => self.see(status, lines),
            Ok(Some(ToNode::Answer { ticket, result })) => {
                if let Some(reply) = self.pending.remove(&ticket) {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(result);
                }
            }
            Ok(Some(ToNode::Welcome(_) | ToNode::Exec(_) | ToNode::Refused { .. })) => {
                crate::log::warn!("the master repeats itself");
            }
            Ok(Some(ToNode::Departing { within })) => self.await_succession(within),
            Ok(Some(ToNode::Adopted { settings })) => {
                self.succession = None;
                self.guard.end_patience();
                self.measures.heed(&settings);
                self.settings = settings;
            }
            // Somebody may still come, but not by this way.
            Ok(None) | Err(_) if self.succession.is_some() => self.reader = None,
            Ok(None) => self.orphaned(&Error::MasterGone),
            Err(error) => self.orphaned(&parent::broken(&error)),
        }
    }

    fn await_succession(&mut self, within: Duration) {
        crate::log::debug!("the master leaves for its successor");
        self.succession = Some(Instant::now() + within);
        self.guard.be_patient(within);
    }

    fn see(&self, status: Status, lines: Vec<Option<usize>>) {
        self.snapshot.send_replace(Snapshot { status, lines, ..Snapshot::default() });
    }

    /// Without a master a node finishes what it has, and leaves.
    fn orphaned(&mut self, error: &Error) {
        (self.reader, self.succession) = (None, None);
        self.pending.clear();
        self.fate.send_replace(End::MasterGone);
        self.heirs.appoint(&self.links, &[]);
        self.drain.begin(self.settings.drain_timeout);
        crate::log::warn!("draining: {error}");
    }

    fn join(&mut self, join: Join) {
        let Join { peer, greets, stream: Some(stream), bus: Some(bus) } = join else { return };
        self.reader.iter_mut().for_each(|reader| reader.reserve.give(STREAMS_A_PEER));
        let joined = mesh::transport(stream).and_then(|stream| {
            self.peers.join(peer, stream);
            self.links.join(peer.id(), bus, greets)
        });
        if let Err(error) = joined {
            crate::log::error!(peer = %peer.id(), %error, "cannot use the stream to a peer");
        }
    }

    fn rejoined(&mut self, peer: PeerInfo, stream: OwnedFd) {
        match mesh::transport(stream) {
            Ok(stream) => self.peers.join(peer, stream),
            Err(error) => crate::log::error!(peer = %peer.id(), %error, "cannot use the stream to a peer"),
        }
    }

    async fn ask(&mut self, ask: Ask) {
        if self.reader.is_none() {
            let _ = ask.reply.send(Err(OrderError::MasterGone));
            return;
        }
        self.tickets += 1;
        self.pending.insert(self.tickets, ask.reply);
        let message = ToMaster::Ask { ticket: self.tickets, order: ask.order };
        if self.outbox.send((message, None)).await.is_err() {
            self.pending.remove(&self.tickets);
        }
    }

    /// The node drains of itself; its master fills the slot anew.
    async fn leave(&mut self, why: &str) {
        if self.draining.is_draining() {
            return;
        }
        crate::log::info!("draining: {why}");
        // An error means that the master is gone.
        let _ = self.outbox.send((ToMaster::Leaving, None)).await;
        self.drain.begin_staggered(self.settings.drain_timeout);
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Resolves once this process's service is over.
async fn over(end: &mut watch::Receiver<Option<End>>) {
    // An error means that nobody will set it: a failed start, after which the process ends.
    let _ = end.wait_for(Option::is_some).await;
}

async fn next(reader: &mut Option<Reader<ToNode>>) -> io::Result<Option<ToNode>> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}
