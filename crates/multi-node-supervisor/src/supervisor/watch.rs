//! The master's view of a node: the messages on its control socket, and the end of its process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, watch};

use super::launch::Launch;
use crate::control::{self, Reader, ToMaster};
use crate::family::Left;
use crate::id::NodeId;
use crate::status::Exit;
use crate::sys;
use crate::sys::runtime::watched;

/// How long a process may take to end after it closed its control socket.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// How long a seemingly silent node still has to send something before it is judged.
const LAST_CHANCE: Duration = Duration::from_millis(250);

/// How long a node's child processes may take to end after the node, if it was not asked to finish.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// The same for a node that has never sent a message: nothing needs to wait for it.
const LEFT_UNSAID: Duration = Duration::from_millis(500);

/// A pidfd, shared by the task that watches the process and those that signal it.
type Process = Arc<OwnedFd>;

/// News of a node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeEvent {
    Said(ToMaster),
    /// The examination of its process: whether a debugger holds it, and a report for people.
    Examined {
        traced: bool,
        report: String,
    },
    /// How much memory it has, in bytes.
    Weighs(u64),
    Broke(String),
    /// The exec shim has become its program.
    Became,
    /// What the workload has noticed of it, in the workload's own form.
    Observed(Bytes),
    /// Its process, which had become a program, has ended; whether with success.
    Ended {
        well: bool,
    },
    /// For all nodes, in a shutdown: no connection waits any more in the queues of the listening sockets.
    QueuesEmpty,
    Exited(Exit),
}

/// The phase of a node, as its watch sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It uses its control socket, as an exec shim or a node of this program.
    #[default]
    Speaks,
    /// Its exec shim has become another program, which may not use the socket.
    Runs,
    /// It is such a program, and uses the socket.
    Links,
    /// Its exit has been reported.
    Ended,
}

impl Phase {
    fn after(self, message: &ToMaster) -> Phase {
        match (self, message) {
            (_, ToMaster::Exec) => Phase::Runs,
            (Phase::Runs, ToMaster::Hello { .. }) => Phase::Links,
            (phase, _) => phase,
        }
    }
}

impl NodeEvent {
    fn of(message: ToMaster) -> NodeEvent {
        match message {
            ToMaster::Exec => NodeEvent::Became,
            other => NodeEvent::Said(other),
        }
    }
}

/// Watches one node, and reports its events.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) id: NodeId,
    pub(crate) pid: u32,
    pub(crate) events: mpsc::Sender<(NodeId, NodeEvent)>,
    /// The process that its program names as its main process (`MAINPID=`).
    pub(crate) main: watch::Receiver<Option<Process>>,
    /// Whether that process has outlived the one that was started.
    pub(crate) outlived: AtomicBool,
    /// Whether it speaks the control protocol as long as it lives, and is no exec shim that will become a program.
    pub(crate) speaks: bool,
    /// Whether it has ever sent a message. A program that links this crate manages its child processes itself.
    pub(crate) spoke: AtomicBool,
    /// Its child processes.
    pub(crate) left: Left,
    /// Notified when the node has to be examined.
    pub(crate) examine: Arc<Notify>,
    /// Turns true to suspend the watch.
    pub(crate) rest: watch::Receiver<bool>,
    pub(crate) launch: Arc<dyn Launch>,
}

/// Reports all events of a node, its exit last: all messages that it sent before come first. Returns when that is done, or
/// when it is suspended, with a partly read message and the phase.
pub(crate) async fn watch(
    watch: Watch,
    mut reader: Reader<ToMaster>,
    process: Process,
    mut phase: Phase,
) -> (Reader<ToMaster>, Phase) {
    if let Err(error) = watch_to_the_end(&watch, &mut reader, process, &mut phase).await {
        crate::log::error!(id = %watch.id, pid = watch.pid, %error, "cannot watch the node's process");
    }
    (reader, phase)
}

async fn watch_to_the_end(
    watch: &Watch,
    reader: &mut Reader<ToMaster>,
    child: Process,
    phase: &mut Phase,
) -> io::Result<()> {
    let process = watched(child)?;
    // Once its exit has been reported, another process may have its number.
    if *phase != Phase::Ended
        && let Some(exit) = listen_to(watch, reader, &process, phase).await?
    {
        if *phase != Phase::Speaks {
            watch.tell(NodeEvent::Ended { well: exit == Exit::Code(0) }).await;
        }
        watch.tell(NodeEvent::Exited(exit)).await;
        *phase = Phase::Ended;
    }
    Ok(())
}

/// `None`: it is to rest before the process has ended.
async fn listen_to(
    watch: &Watch,
    reader: &mut Reader<ToMaster>,
    process: &AsyncFd<Process>,
    phase: &mut Phase,
) -> io::Result<Option<Exit>> {
    let mut rest = watch.rest.clone();
    loop {
        let message = tokio::select! {
            () = told_to_rest(&mut rest) => return Ok(None),
            message = reader.next() => message,
            () = watch.examine.notified() => match watch.examine(reader).await {
                Ok(()) => continue,
                Err(error) => Err(error),
            },
            exit = watch.ended(process, *phase) => {
                // What is malformed matters no more.
                let _ = watch.tell_arrived(reader).await;
                return exit.map(Some);
            }
        };
        let why = match message {
            Ok(Some(message)) => {
                watch.spoke.store(true, Ordering::Relaxed);
                *phase = phase.after(&message);
                watch.tell(NodeEvent::of(message)).await;
                continue;
            }
            // It may do with what it does not know what it likes.
            Ok(None) | Err(_) if *phase == Phase::Runs => return watch.end(process, *phase).await,
            Err(error) if !control::is_end(&error) => error.to_string(),
            // A process closes its sockets a moment before it can be reaped; one that lives on without them is broken.
            Ok(None) | Err(_) => match tokio::time::timeout(LAST_BREATH, watch.end(process, *phase)).await {
                Ok(exit) => return exit,
                Err(_) => "it closed its control socket".to_owned(),
            },
        };
        watch.tell(NodeEvent::Broke(why)).await;
        return watch.end(process, *phase).await;
    }
}

/// Resolves when the watch has to be suspended, or the sender is gone. Cancel-safe.
pub async fn told_to_rest(rest: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone.
    let _ = rest.wait_for(|rest| *rest).await;
}

impl Watch {
    async fn tell(&self, what: NodeEvent) {
        // An error means that the supervisor, the only receiver, is gone.
        let _ = self.events.send((self.id, what)).await;
    }

    async fn end(&self, process: &AsyncFd<Process>, phase: Phase) -> io::Result<Option<Exit>> {
        let mut rest = self.rest.clone();
        tokio::select! {
            () = told_to_rest(&mut rest) => Ok(None),
            exit = self.ended(process, phase) => exit.map(Some),
        }
    }

    /// What a program has started that does not link this crate, or has not come so far, ends with it. Cancel-safe.
    async fn ended(&self, process: &AsyncFd<Process>, phase: Phase) -> io::Result<Exit> {
        // An exec shim may have become its program, and that program have ended, before this message arrived.
        if phase == Phase::Speaks && self.speaks && self.spoke.load(Ordering::Relaxed) {
            return exited(process, &*self.launch).await;
        }
        let (tells, patience) = match phase {
            Phase::Speaks => (ends(process).await.map(|()| true)?, LEFT_UNSAID),
            _ => (self.main_ends(process).await?, LEFT_BEHIND),
        };
        // A process that has ended leads its group until it is reaped.
        self.left.end(patience).await?;
        let exit = exited(process, &*self.launch).await?;
        Ok(if tells { exit } else { Exit::Unknown })
    }

    /// Waits for the end of the main process. Returns whether the status of the started process is also its status.
    /// Cancel-safe.
    async fn main_ends(&self, started: &AsyncFd<Process>) -> io::Result<bool> {
        let mut named = self.main.clone();
        loop {
            let main = named.borrow_and_update().clone();
            let ends = async {
                match &main {
                    None => ends(started).await.map(|()| true),
                    Some(main) => self.named_ends(main.clone(), started).await,
                }
            };
            tokio::select! {
                ended = ends => return ended,
                Ok(()) = named.changed() => {}
            }
        }
    }

    async fn named_ends(&self, main: Process, started: &AsyncFd<Process>) -> io::Result<bool> {
        let named = watched(main.clone())?;
        tokio::select! {
            biased;
            ended = ends(&named) => ended?,
            ended = ends(started) => {
                ended?;
                if !sys::process::has_ended(main.as_fd())? {
                    self.outlived.store(true, Ordering::Relaxed);
                }
                ends(&named).await?;
            }
        }
        // The starting process mostly waits for this one, and ends with its status, which no other process can read.
        let follows = !self.outlived.load(Ordering::Relaxed);
        Ok(follows && tokio::time::timeout(LAST_BREATH, ends(started)).await.is_ok())
    }

    async fn tell_arrived(&self, reader: &mut Reader<ToMaster>) -> io::Result<()> {
        while let Some(message) = reader.next_arrived()? {
            self.tell(NodeEvent::of(message)).await;
        }
        Ok(())
    }

    /// A node that seems silent may have sent something while its master did not run, or may just continue after a pause of
    /// both. Messages that arrive during this last chance are reported before the examination.
    async fn examine(&self, reader: &mut Reader<ToMaster>) -> io::Result<()> {
        tokio::time::sleep(LAST_CHANCE).await;
        self.tell_arrived(reader).await?;
        let (traced, report) = sys::process::examine(self.pid);
        self.tell(NodeEvent::Examined { traced, report }).await;
        Ok(())
    }
}

/// Waits for the end of a process, which is not reaped. Cancel-safe.
async fn ends(process: &AsyncFd<Process>) -> io::Result<()> {
    process.readable().await?.retain_ready();
    Ok(())
}

/// Waits for the end of a process without a watch.
///
/// # Errors
/// Where it cannot be watched.
pub async fn until_end(child: &OwnedFd) -> io::Result<()> {
    ends(&watched(Arc::new(child.try_clone()?))?).await
}

/// Waits for the end of a process without a watch, and reaps it.
///
/// # Errors
/// Where it cannot be watched or reaped.
pub async fn end(child: &OwnedFd, launch: &dyn Launch) -> io::Result<Exit> {
    exited(&watched(Arc::new(child.try_clone()?))?, launch).await
}

async fn exited(process: &AsyncFd<Process>, launch: &dyn Launch) -> io::Result<Exit> {
    loop {
        let mut ready = process.readable().await?;
        match launch.reap(process.as_fd()) {
            Ok(Some(exit)) => return Ok(exit),
            Ok(None) => ready.clear_ready(),
            // Other code in this process waits for all children, and took this one's status.
            Err(error) if sys::process::was_reaped(&error) => return Ok(Exit::Unknown),
            Err(error) => return Err(error),
        }
    }
}
