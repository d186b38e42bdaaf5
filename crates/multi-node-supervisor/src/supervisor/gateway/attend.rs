//! Attends to the gateway: starts it, speaks to it, and starts another one when it has ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::GatewayEvent;
use crate::control::{self, GatewaySettings, Reader, ToMaster, ToNode, VERSIONS, Writer};
use crate::id::{Generation, NodeId, Slot};
use crate::supervisor::child::{Child, Launcher};
use crate::supervisor::fleet::{Backoff, Fatal};
use crate::supervisor::launch::Launch;
use crate::supervisor::run::TARGET;
use crate::sys::runtime::watched;

/// A gateway that says nothing for so long is replaced. It beats every few seconds.
const SILENCE: Duration = Duration::from_secs(15);

/// How long one that is no longer wanted has to tell other machines.
const FAREWELL: Duration = Duration::from_secs(1);

/// One that has lived for so long begins with the shortest pause when it ends.
const LASTS: Duration = Duration::from_secs(10);

/// What the gateway runs.
#[derive(Clone, Debug)]
pub(super) struct Program {
    launcher: Arc<Launcher>,
    generation: Generation,
}

impl Program {
    pub(super) fn new(launcher: Launcher, generation: Generation) -> Program {
        Program { launcher: Arc::new(launcher), generation }
    }

    fn start(&self) -> io::Result<Child> {
        self.launcher.alone(self.generation)?.spawn(NodeId::GATEWAY, Slot::from(0), self.generation)
    }
}

/// What each gateway gets as the answer to its hello.
#[derive(Clone, Debug)]
pub(super) struct Ack {
    /// The same for all gateways of this master: numbers of messages go on over them.
    pub(super) epoch: u64,
    pub(super) settings: GatewaySettings,
}

pub(super) struct Attendant {
    pub(super) programs: watch::Receiver<Option<Program>>,
    pub(super) events: mpsc::Sender<GatewayEvent>,
    pub(super) ack: Ack,
    pub(super) backoff: Backoff,
    pub(super) outbox: usize,
}

impl Attendant {
    /// Returns when no gateway is wanted any more.
    pub(super) async fn attend(mut self) {
        let mut failures = 0;
        loop {
            let Some(program) = self.programs.borrow_and_update().clone() else { return };
            let begun = Instant::now();
            let why = match self.run(&program).await {
                Ok(None) => continue,
                Ok(Some(why)) => why,
                Err(error) => format!("could not be started: {error}"),
            };
            failures = if begun.elapsed() < LASTS { failures + 1 } else { 0 };
            let pause = self.backoff.pause(failures + 1);
            crate::log::warn!(target: TARGET, "the gateway to other machines {why}; starting another in {pause:.0?}");
            // An error means that the master ends, which the next look finds out.
            if let Ok(Err(_)) = timeout(pause, self.programs.changed()).await {
                return;
            }
        }
    }

    /// Starts the process and attends to it. `None`: it runs no longer what it should; else why it has ended.
    async fn run(&mut self, program: &Program) -> io::Result<Option<String>> {
        let Child { pid, process, control } = program.start()?;
        let launch = program.launcher.launch.clone();
        crate::log::info!(target: TARGET, pid, "gateway to other machines started");
        let channel = control::channel(control);
        let process = watched(Arc::new(process))?;
        let ended = match channel {
            Ok((reader, writer)) => {
                let mut talk = Talk {
                    reader,
                    writer,
                    events: &self.events,
                    pid,
                    ack: &self.ack,
                    outbox: None,
                    capacity: self.outbox,
                };
                tokio::select! {
                    why = talk.go() => Some(why),
                    ended = process.readable() => Some(ended.map_or_else(|error| error.to_string(), |_| "has ended".to_owned())),
                    _ = self.programs.changed() => {
                        if self.programs.borrow().is_none() {
                            talk.leave().await;
                        }
                        None
                    }
                }
            }
            Err(error) => Some(error.to_string()),
        };
        end(&*launch, &process).await?;
        // An error means that the loop has ended.
        let _ = self.events.send(GatewayEvent::Down(ended.clone())).await;
        Ok(ended)
    }
}

/// Ends the process, which keeps nothing that it would have to save.
async fn end(launch: &dyn Launch, process: &AsyncFd<Arc<std::os::fd::OwnedFd>>) -> io::Result<()> {
    launch.end(process.get_ref(), Fatal::Kill)?;
    process.readable().await?.retain_ready();
    launch.reap(std::os::fd::AsFd::as_fd(&**process.get_ref())).map(drop)
}

/// The conversation with one gateway.
struct Talk<'a> {
    reader: Reader<ToMaster>,
    writer: Writer<ToNode>,
    events: &'a mpsc::Sender<GatewayEvent>,
    pid: u32,
    ack: &'a Ack,
    /// What the loop sends, once the gateway has said hello.
    outbox: Option<mpsc::Receiver<ToNode>>,
    capacity: usize,
}

impl Talk<'_> {
    /// Goes on until it cannot, and says why.
    async fn go(&mut self) -> String {
        loop {
            let step = tokio::select! {
                message = timeout(SILENCE, self.reader.next()) => match message {
                    Ok(Ok(Some(message))) => self.said(message).await,
                    Ok(Ok(None)) => return "has closed its control socket".to_owned(),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err(format!("was silent for {SILENCE:?}")),
                },
                message = next(&mut self.outbox) => match message {
                    Some(message) => self.writer.send(message).await.map_err(|error| error.to_string()),
                    None => Err("is not wanted any more".to_owned()),
                },
            };
            if let Err(why) = step {
                return why;
            }
        }
    }

    /// Has it take leave of other machines.
    async fn leave(&mut self) {
        let drain = ToNode::Drain { within: FAREWELL, successors: Vec::new(), closing: true };
        if self.outbox.is_some() && self.writer.send(drain).await.is_ok() {
            // One that does not say so in time is killed as any other.
            let _ = timeout(FAREWELL, self.has_left()).await;
        }
    }

    async fn has_left(&mut self) {
        while let Ok(Some(message)) = self.reader.next().await {
            if matches!(message, ToMaster::Drained(_)) {
                return;
            }
        }
    }

    async fn said(&mut self, message: ToMaster) -> Result<(), String> {
        let event = match message {
            ToMaster::Hello { versions, .. } if self.outbox.is_none() => {
                let version = VERSIONS.common(versions).ok_or("speaks another version of the control protocol")?;
                let Ack { epoch, settings } = self.ack.clone();
                let answer = ToNode::GatewayAck { version, epoch, settings };
                self.writer.send(answer).await.map_err(|error| error.to_string())?;
                let (sender, outbox) = mpsc::channel(self.capacity);
                self.outbox = Some(outbox);
                GatewayEvent::Up(sender)
            }
            ToMaster::Gateway(mut status) => {
                status.pid = Some(self.pid);
                GatewayEvent::Is(status)
            }
            ToMaster::Machines(changes) => GatewayEvent::Knows(changes),
            ToMaster::OpenLink { peer, broken_epoch } => GatewayEvent::Wants { peer, broken_epoch },
            ToMaster::Failed { why } => return Err(format!("has failed: {why}")),
            // It is no node, and says nothing else that counts.
            _ => return Ok(()),
        };
        // An error means that the loop has ended.
        self.events.send(event).await.map_err(|_| "is not wanted any more".to_owned())
    }
}

async fn next(outbox: &mut Option<mpsc::Receiver<ToNode>>) -> Option<ToNode> {
    match outbox {
        Some(outbox) => outbox.recv().await,
        None => std::future::pending().await,
    }
}
