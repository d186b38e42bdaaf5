//! A node as the master hears it: what it says, and how it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc, watch};

use super::child::{end_group, exited};
use super::foreign::Note;
use crate::control::{self, Reader, ToMaster};
use crate::id::NodeId;
use crate::status::Exit;
use crate::sys;

/// How long a process may take to end after it closed its control socket.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// How long a node that seems silent may still be heard before it is judged.
const LAST_CHANCE: Duration = Duration::from_millis(250);

/// What is heard of a node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Heard {
    Said(ToMaster),
    /// What was seen of its process: whether a debugger holds it, and a report for people.
    Examined {
        traced: bool,
        report: String,
    },
    /// How much memory it has, in bytes.
    Weighs(u64),
    Broke(String),
    /// The stage has become its program.
    Became,
    /// What is noticed of the program.
    Noted(Note),
    Exited(Exit),
}

/// Whose news is told to whom.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) id: NodeId,
    pub(crate) pid: u32,
    pub(crate) heard: mpsc::Sender<(NodeId, Heard)>,
    /// Notified when the node is to be examined.
    pub(crate) examine: Arc<Notify>,
    /// Turns true when nothing more is to be heard for now.
    pub(crate) rest: watch::Receiver<bool>,
}

/// Tells all that is heard of a node, its exit last: everything it said before is told before. Returns when that is done, or
/// when it is told to rest, with what was half read.
pub(crate) async fn watch(watch: Watch, mut reader: Reader<ToMaster>, process: OwnedFd) -> Reader<ToMaster> {
    if let Err(error) = watch_to_the_end(&watch, &mut reader, process).await {
        tracing::error!(id = %watch.id, pid = watch.pid, %error, "cannot watch the node's process");
    }
    reader
}

async fn watch_to_the_end(watch: &Watch, reader: &mut Reader<ToMaster>, process: OwnedFd) -> io::Result<()> {
    #[expect(deprecated, reason = "unsound only for types that lie about their descriptor, which `OwnedFd` does not")]
    let process = AsyncFd::new(process)?;
    let mut nature = Nature::Node;
    if let Some(exit) = listen_to(watch, reader, &process, &mut nature).await? {
        if nature != Nature::Node && exit == Exit::Code(0) {
            watch.tell(Heard::Noted(Note::Finished)).await;
        }
        watch.tell(Heard::Exited(exit)).await;
    }
    Ok(())
}

/// What is on the other side of the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// A node of this program, or a stage.
    Node,
    /// A program that a stage has become, of which nothing is known.
    Program,
    /// Such a program, which links this crate.
    LinkedProgram,
}

/// `None`: it is to rest before the process has ended.
async fn listen_to(
    watch: &Watch,
    reader: &mut Reader<ToMaster>,
    process: &AsyncFd<OwnedFd>,
    nature: &mut Nature,
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
            exit = watch.ended(process, *nature) => {
                // What is malformed matters no more.
                let _ = watch.tell_arrived(reader).await;
                return exit.map(Some);
            }
        };
        let why = match message {
            Ok(Some(message)) => {
                *nature = nature.after(&message);
                watch.tell(Heard::of(message)).await;
                continue;
            }
            // It knows nothing of the socket, and may do with it what it likes.
            Ok(None) | Err(_) if *nature == Nature::Program => return watch.end(process, *nature).await,
            Err(error) if !control::is_end(&error) => error.to_string(),
            // A process closes its sockets a moment before it can be reaped; one that lives on without them is broken.
            Ok(None) | Err(_) => match tokio::time::timeout(LAST_BREATH, watch.end(process, *nature)).await {
                Ok(exit) => return exit,
                Err(_) => "it closed its control socket".to_owned(),
            },
        };
        watch.tell(Heard::Broke(why)).await;
        return watch.end(process, *nature).await;
    }
}

impl Nature {
    fn after(self, message: &ToMaster) -> Nature {
        match (self, message) {
            (_, ToMaster::Exec) => Nature::Program,
            (Nature::Program, ToMaster::Hello { .. }) => Nature::LinkedProgram,
            (nature, _) => nature,
        }
    }
}

impl Heard {
    fn of(message: ToMaster) -> Heard {
        match message {
            ToMaster::Exec => Heard::Became,
            other => Heard::Said(other),
        }
    }
}

/// Resolves when conversations are to rest, or nobody is left who would hear them. Cancel-safe.
pub(crate) async fn told_to_rest(rest: &mut watch::Receiver<bool>) {
    // An error means that whoever would tell it is gone.
    let _ = rest.wait_for(|rest| *rest).await;
}

impl Watch {
    async fn tell(&self, what: Heard) {
        // An error means that the supervisor is gone, and with it everyone who would listen.
        let _ = self.heard.send((self.id, what)).await;
    }

    async fn end(&self, process: &AsyncFd<OwnedFd>, nature: Nature) -> io::Result<Option<Exit>> {
        let mut rest = self.rest.clone();
        tokio::select! {
            () = told_to_rest(&mut rest) => Ok(None),
            exit = self.ended(process, nature) => exit.map(Some),
        }
    }

    /// What a program has started in its own process group ends with it.
    async fn ended(&self, process: &AsyncFd<OwnedFd>, nature: Nature) -> io::Result<Exit> {
        if nature != Nature::Node {
            process.readable().await?.retain_ready();
            end_group(self.pid)?;
        }
        exited(process).await
    }

    async fn tell_arrived(&self, reader: &mut Reader<ToMaster>) -> io::Result<()> {
        while let Some(message) = reader.next_arrived()? {
            self.tell(Heard::of(message)).await;
        }
        Ok(())
    }

    /// A node that seems silent may have spoken while its master did not run, or may just go on after a pause of both:
    /// whatever it says until the end of its last chance is told before it is looked at.
    async fn examine(&self, reader: &mut Reader<ToMaster>) -> io::Result<()> {
        tokio::time::sleep(LAST_CHANCE).await;
        self.tell_arrived(reader).await?;
        let (traced, report) = sys::process::examine(self.pid);
        self.tell(Heard::Examined { traced, report }).await;
        Ok(())
    }
}
