//! A node that lives: its process, its line in the load table, and the way to its ears.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::child::Child;
use super::launch::Launch;
use super::names::Names;
use super::watch::{self as watching, NodeEvent, Phase, Watch};
use super::workload::NodeView;
use crate::control::{self, Parts, Reader, Skipped, ToMaster, ToNode, Writer};
use crate::family::{self, Left, Looks, ProcessId, Run, Stop, StopRule};
use crate::id::{Generation, NodeId};
use crate::mesh::PeerInfo;
use crate::process_links::Snapshot;
use crate::sys;

/// How far apart two reports of the fleet's state to one node are at least, up to [`STATUS_SLOTS`].
const STATUS_EVERY: Duration = Duration::from_millis(100);

/// Every node hears of every slot: beyond this number of slots reports come less often, so that they cost no more.
const STATUS_SLOTS: usize = 64;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) info: PeerInfo,
    pub(super) generation: Generation,
    pub(super) process: Arc<OwnedFd>,
    /// Its line in the load table.
    pub(super) line: usize,
    /// The protocol version that was agreed upon, once it has said hello and been answered.
    pub(super) version: Option<u32>,
    /// What it does beside that, by names of its own.
    pub(super) capabilities: Vec<String>,
    /// Whether its program has asked for streams to all other processes.
    pub(super) wants_peers: bool,
    /// The process that counts, if its program has named another than the one that was started.
    named: Option<Main>,
    outbox: mpsc::Sender<ToNode>,
    examine: Arc<Notify>,
    /// Tells the watch of that process.
    main: watch::Sender<Option<Arc<OwnedFd>>>,
    /// Tells the watch how long the descendants of the node may take to end.
    stop: watch::Sender<Stop>,
    watching: JoinHandle<(Reader<ToMaster>, Phase)>,
    writing: JoinHandle<Writer<ToNode>>,
}

/// A process that a program has named as its main process (`MAINPID=`, sd_notify(3)).
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Main {
    pub(super) pid: u32,
    #[serde(with = "control::shared")]
    pub(super) process: Arc<OwnedFd>,
}

impl Main {
    /// Only a process of the node can be named.
    pub(super) fn of(node: u32, pid: u32) -> io::Result<Main> {
        // Opened first, so that the check is about this very process.
        let process = Arc::new(sys::process::open(pid)?);
        match sys::process::is_of_family(pid, node) {
            Some(true) => Ok(Main { pid, process }),
            Some(false) | None => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not descend from the node"))
            }
        }
    }
}

/// A node that lives, while nobody listens to it and nobody speaks to it. The master's successor goes on with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SuspendedMember {
    pub(super) info: PeerInfo,
    pub(super) generation: Generation,
    #[serde(with = "control::shared")]
    pub(super) process: Arc<OwnedFd>,
    pub(super) line: usize,
    pub(super) version: Option<u32>,
    pub(super) capabilities: Vec<String>,
    /// A master of an earlier release has made all streams at once, and does not say so.
    #[serde(default = "all_made")]
    pub(super) wants_peers: bool,
    pub(super) phase: Phase,
    pub(super) main: Option<Main>,
    pub(super) talk: Parts,
}

/// What every member is given.
pub(super) struct Surroundings {
    pub(super) events: mpsc::Sender<(NodeId, NodeEvent)>,
    pub(super) snapshot: watch::Receiver<Snapshot>,
    /// Turns true when all conversations are to rest.
    pub(super) rest: watch::Receiver<bool>,
    /// How many messages may wait.
    pub(super) outbox: usize,
    /// Where messages are counted that the master skips.
    pub(super) skipped: Skipped,
    /// Whether every node speaks the control protocol.
    pub(super) speaks: bool,
    /// By what the node's processes are found, and how they end.
    pub(super) run: Run,
    pub(super) looks: Looks,
    pub(super) rule: StopRule,
    pub(super) launch: Arc<dyn Launch>,
}

impl SuspendedMember {
    /// A child that has said nothing yet.
    pub(super) fn new(child: Child, info: PeerInfo, generation: Generation, line: usize) -> SuspendedMember {
        let Child { process, control, .. } = child;
        let (version, phase, main) = (None, Phase::Speaks, None);
        let (process, capabilities) = (Arc::new(process), Vec::new());
        SuspendedMember {
            info,
            generation,
            process,
            line,
            version,
            capabilities,
            wants_peers: false,
            phase,
            main,
            talk: Parts::of(control),
        }
    }
}

impl Member {
    /// Whether both begin their hand-off stream with a hello: they can, and one of them may need it.
    pub(super) fn greets(&self, other: &Member) -> bool {
        let both =
            |capability| [self, other].iter().all(|member| control::has_capability(&member.capabilities, capability));
        both(control::GREETS) && !(both(control::OFFERS) && both(control::OFFERS_WHEN_BUSY))
    }

    /// Who it is, and whether it takes part in the bus.
    pub(super) fn named(&self) -> (PeerInfo, bool) {
        (self.info, self.speaks_bus())
    }

    /// Whether it asks for streams when it first needs them.
    pub(super) fn asks_for_streams(&self) -> bool {
        control::has_capability(&self.capabilities, control::LATE_STREAMS)
    }

    /// Whether each of its requests may belong to another node.
    pub(super) fn owns_requests(&self) -> bool {
        control::has_capability(&self.capabilities, control::OWNERS)
    }

    /// Whether its hello was answered: it knows the protocol.
    pub(super) fn is_welcome(&self) -> bool {
        self.version.is_some()
    }

    /// It, as its workload sees it.
    pub(super) fn view(&self) -> NodeView {
        let (info, generation, is_welcome) = (self.info, self.generation, self.is_welcome());
        NodeView { info, generation, is_welcome, has_to_prove_itself: false }
    }

    /// Takes on a node: from now on `heard` tells what it says and how it ends.
    pub(super) fn new(node: SuspendedMember, around: Surroundings) -> io::Result<Member> {
        let SuspendedMember { info, generation, process, line, version, capabilities, .. } = node;
        let (wants_peers, phase, named, talk) = (node.wants_peers, node.phase, node.main, node.talk);
        let (mut reader, writer) = control::resume(talk)?;
        reader.count_skipped(around.skipped);
        let watched = process.clone();
        let (outbox, messages) = mpsc::channel(around.outbox);
        let examine = Arc::new(Notify::new());
        let (id, pid) = (info.id(), info.pid());
        let main = watch::Sender::new(named.as_ref().map(|main| main.process.clone()));
        let (events, examine_now, rest) = (around.events, examine.clone(), around.rest.clone());
        let (main_named, outlived, spoke) = (main.subscribe(), false.into(), version.is_some().into());
        let stop = watch::Sender::new(Stop::No);
        let left = Left::new((id, leader(pid)), (around.run, around.looks), around.rule, stop.subscribe());
        let (speaks, launch) = (around.speaks, around.launch);
        let watch = Watch {
            id,
            pid,
            events,
            main: main_named,
            outlived,
            speaks,
            spoke,
            left,
            examine: examine_now,
            rest,
            launch,
        };
        let watching = tokio::spawn(watching::watch(watch, reader, watched, phase));
        let writing = tokio::spawn(write(writer, version.is_some(), messages, around.snapshot, around.rest));
        Ok(Member {
            info,
            generation,
            process,
            line,
            version,
            capabilities,
            wants_peers,
            named,
            outbox,
            examine,
            main,
            stop,
            watching,
            writing,
        })
    }

    /// Its processes, for the guard: the one that was started, and the one that counts.
    pub(super) fn processes(&self) -> (ProcessId, ProcessId) {
        (leader(self.info.pid()), leader(self.main().0))
    }

    /// The master told it to finish, or its time is over. That can only become more urgent.
    pub(super) fn stop(&self, stop: Stop) {
        self.stop.send_if_modified(|known| *known != Stop::Now && std::mem::replace(known, stop) != stop);
    }

    /// The process that counts: its program may have named another than the one that was started.
    pub(super) fn main(&self) -> (u32, &OwnedFd) {
        self.named.as_ref().map_or((self.info.pid(), &self.process), |main| (main.pid, &main.process))
    }

    /// Takes another process of it for the one that counts.
    pub(super) fn name_main(&mut self, main: Main) {
        self.main.send_replace(Some(main.process.clone()));
        self.named = Some(main);
    }

    /// Waits for the conversation to rest, which the member has been told to do.
    pub(super) async fn rest(self) -> io::Result<SuspendedMember> {
        let Member { info, generation, process, line, version, capabilities, wants_peers, named: main, .. } = self;
        let (watching, writing) = (self.watching, self.writing);
        let ((reader, phase), writer) = (watching.await?, writing.await?);
        let talk = control::take_apart(reader, writer)?;
        Ok(SuspendedMember { info, generation, process, line, version, capabilities, wants_peers, phase, main, talk })
    }

    /// Examines the node; the result comes as [`NodeEvent::Examined`].
    pub(super) fn examine(&self) {
        self.examine.notify_one();
    }

    /// Puts a message into the outbox, which a node that reads never fills.
    pub(super) fn tell(&self, message: ToNode) -> Result<(), String> {
        match self.outbox.try_send(message) {
            Err(mpsc::error::TrySendError::Full(_)) => Err("it does not read its control socket".to_owned()),
            // It is about to end, which will be heard.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

fn all_made() -> bool {
    true
}

/// How far apart reports of this number of slots are.
fn status_every(slots: usize) -> Duration {
    let beyond = slots.div_ceil(STATUS_SLOTS).max(1);
    STATUS_EVERY * u32::try_from(beyond * beyond).unwrap_or(u32::MAX)
}

/// A child that was not reaped; of one that was nothing is found any more.
pub fn leader(pid: u32) -> ProcessId {
    family::identity(pid).unwrap_or(ProcessId { pid, start: 0 })
}

/// Sends what is in the outbox, and how the fleet looks when there is nothing else to say. Returns when the conversation is
/// to rest, or has ended.
async fn write(
    mut writer: Writer<ToNode>,
    mut welcomed: bool,
    mut outbox: mpsc::Receiver<ToNode>,
    mut snapshot: watch::Receiver<Snapshot>,
    mut rest: watch::Receiver<bool>,
) -> Writer<ToNode> {
    let mut next_status = Instant::now();
    let (mut machines, mut names) = (None, Names::default());
    loop {
        let changed = async {
            tokio::time::sleep_until(next_status).await;
            snapshot.changed().await
        };
        let message = tokio::select! {
            biased;
            () = watching::told_to_rest(&mut rest) => break,
            message = outbox.recv() => match message {
                Some(message) => match names.hold(message) {
                    Some(message) => message,
                    None => continue,
                },
                None => return writer,
            },
            () = names.due() => match names.take() {
                Some(message) => message,
                None => continue,
            },
            Ok(()) = changed, if welcomed => {
                let Snapshot { status, lines, machines: now, .. } = snapshot.borrow_and_update().clone();
                next_status = Instant::now() + status_every(lines.len());
                // Only a node of a program that joins others hears of them, at first all.
                if now.own.is_some() {
                    let changes = machines.replace(now.clone()).map_or_else(|| Some(now.anew()), |before| now.since(&before));
                    changes.into_iter().for_each(|changes| drop(writer.put(&ToNode::Machines(changes))));
                }
                ToNode::Status { status, lines }
            }
        };
        welcomed |= matches!(message, ToNode::HelloAck(_));
        names.take().iter().for_each(|names| drop(writer.put(names)));
        let sent = tokio::select! {
            sent = writer.send(message) => sent,
            () = watching::told_to_rest(&mut rest) => break,
        };
        // An error means that the node has ended or is about to, which its process tells.
        if sent.is_err() {
            return writer;
        }
    }
    names.take().iter().for_each(|names| drop(writer.put(names)));
    while let Ok(message) = outbox.try_recv() {
        // What cannot be encoded has no receiver either.
        let _ = writer.put(&message);
    }
    writer.flush_now();
    writer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reports_cost_all_nodes_together_does_not_grow_with_the_program() {
        let millis = |slots| status_every(slots).as_millis();
        assert_eq!([0, 1, 64, 65, 256].map(millis), [100, 100, 100, 400, 1600]);
    }
}
