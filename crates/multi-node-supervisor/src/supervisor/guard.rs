//! The master's side of its guard (`family/guard.rs`): starts it, sends it the nodes, restarts it if it ends, and releases
//! it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::child::GuardProgram;
use super::fleet::Fatal;
use super::launch::Launch;
use super::watch as watching;
use crate::control;
use crate::family::{Family, ProcessId, ToGuard};
use crate::id::NodeId;
use crate::status::Exit;

/// A guard that takes nothing for so long hangs.
const TAKES_WITHIN: Duration = Duration::from_secs(5);

/// A guard that is let go ends at once.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// A guard that has ended sooner than this is restarted only then.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

type Families = BTreeMap<NodeId, Family>;

/// The way to the guard, while there is one.
#[derive(Debug)]
pub(super) struct Guard {
    program: GuardProgram,
    registry: Registry,
    command: watch::Sender<Command>,
    task: Option<JoinHandle<Option<GuardProcess>>>,
    /// The guard process, while no task attends to it.
    pub(super) held: Option<GuardProcess>,
}

/// Names processes to a guard.
#[derive(Clone, Debug)]
pub struct Registry {
    families: watch::Sender<Families>,
    /// How long they have to finish.
    drain_timeout: Duration,
}

impl Registry {
    /// A process lives, or another of a node's processes counts now.
    pub fn add(&self, id: NodeId, (leader, main): (ProcessId, ProcessId), stop_signal: i32) {
        let within_ms = u64::try_from(self.drain_timeout.as_millis()).unwrap_or(u64::MAX);
        self.families.send_modify(|all| all.extend([(id, Family { leader, main, stop_signal, within_ms })]));
    }

    /// A process has ended.
    pub fn remove(&self, id: NodeId) {
        self.families.send_modify(|all| all.retain(|known, _| *known != id));
    }
}

/// A guard's process, and what it knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GuardProcess {
    #[serde(with = "control::owner")]
    process: OwnedFd,
    #[serde(with = "control::owner")]
    pipe: OwnedFd,
    told: Families,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Command {
    #[default]
    Attend,
    Rest,
    Leave,
}

/// Why a guard is not attended to any more.
enum Until {
    Ordered(Command),
    Ended(Exit),
}

impl Guard {
    /// Starts a guard, or continues with that of another master.
    pub(super) fn start(program: GuardProgram, drain_timeout: Duration, held: Option<GuardProcess>) -> Guard {
        let told = held.as_ref().map(|held| held.told.clone()).unwrap_or_default();
        let (families, command) = (watch::Sender::new(told), watch::Sender::new(Command::Attend));
        let registry = Registry { families, drain_timeout };
        let mut guard = Guard { program, registry, command, task: None, held };
        guard.go_on();
        guard
    }

    /// Where processes are named to it.
    pub(super) fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Attends to it, after a rest too.
    pub(super) fn go_on(&mut self) {
        if self.task.is_some() {
            return;
        }
        self.command.send_replace(Command::Attend);
        let (families, command) = (self.registry.families.subscribe(), self.command.subscribe());
        self.task = Some(tokio::spawn(attend(self.program.clone(), families, command, self.held.take())));
    }

    /// Suspends it, so that the next master can continue with it.
    pub(super) async fn rest(&mut self) {
        self.held = self.end(Command::Rest).await;
    }

    /// Lets it go: no node is left.
    pub(super) async fn leave(mut self) {
        let attended = self.end(Command::Leave).await;
        if let Some(guard) = attended.or(self.held) {
            guard.leave(&*self.program.launch).await;
        }
    }

    async fn end(&mut self, command: Command) -> Option<GuardProcess> {
        self.command.send_replace(command);
        self.task.take()?.await.ok().flatten()
    }
}

async fn attend(
    program: GuardProgram,
    mut families: watch::Receiver<Families>,
    mut command: watch::Receiver<Command>,
    mut held: Option<GuardProcess>,
) -> Option<GuardProcess> {
    loop {
        let begun = Instant::now();
        let guard = held.take().map_or_else(|| start(&program), Ok);
        match guard {
            Ok(mut guard) => match guard.attend(&mut families, &mut command, &*program.launch).await {
                Ok(Until::Ordered(Command::Leave)) => {
                    guard.leave(&*program.launch).await;
                    return None;
                }
                Ok(Until::Ordered(_)) => return Some(guard),
                Ok(Until::Ended(exit)) => {
                    crate::log::warn!("the guard of the nodes ended with {exit}; starting another");
                }
                Err(error) => {
                    crate::log::error!(%error, "cannot speak to the guard of the nodes; starting another");
                    guard.kill(&*program.launch).await;
                }
            },
            Err(error) => {
                crate::log::error!(%error, "cannot start a guard: should this process be killed, what nodes have started lives on");
            }
        }
        if tokio::time::timeout_at(begun + SHORTEST_LIFE, ordered(&mut command)).await.is_ok() {
            return None;
        }
    }
}

/// Waits for a command other than to attend. Cancel-safe.
async fn ordered(command: &mut watch::Receiver<Command>) -> Command {
    let ordered = command.wait_for(|command| *command != Command::Attend).await;
    // An error means that there is nothing left to guard.
    ordered.map_or(Command::Leave, |command| *command)
}

fn start(program: &GuardProgram) -> io::Result<GuardProcess> {
    let (process, pipe) = program.start()?;
    Ok(GuardProcess { process, pipe, told: Families::new() })
}

impl GuardProcess {
    /// Sends it all nodes and their changes, until it ends or gets another command.
    async fn attend(
        &mut self,
        families: &mut watch::Receiver<Families>,
        command: &mut watch::Receiver<Command>,
        launch: &dyn Launch,
    ) -> io::Result<Until> {
        let process = self.process.try_clone()?;
        let mut pipe = Sender::from_owned_fd(self.pipe.try_clone()?)?;
        let mut ended = std::pin::pin!(watching::end(&process, launch));
        loop {
            let news = ToGuard::next(&self.told, &families.borrow_and_update());
            let told = async {
                match news {
                    // It is written whole or not at all.
                    Some(news) => {
                        let line = news.line();
                        let written = tokio::time::timeout(TAKES_WITHIN, pipe.write_all(&line)).await;
                        written.map_err(io::Error::from).and_then(|written| written).map(|()| Some(news))
                    }
                    None => {
                        // An error means that no news will come any more, and then a command comes.
                        if families.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                        Ok(None)
                    }
                }
            };
            tokio::select! {
                biased;
                exit = &mut ended => return exit.map(Until::Ended),
                command = ordered(command) => return Ok(Until::Ordered(command)),
                told = told => match told {
                    Ok(news) => news.into_iter().for_each(|news| news.apply(&mut self.told)),
                    Err(error) => {
                        crate::log::warn!(%error, "the guard of the nodes does not listen; ending it");
                        launch.end(&self.process, Fatal::Kill)?;
                        return ended.await.map(Until::Ended);
                    }
                },
            }
        }
    }

    /// Has it end. It must not lose its pipe before: that is to it as if this process had been killed.
    async fn leave(self, launch: &dyn Launch) {
        let gone = async {
            let mut pipe = Sender::from_owned_fd(self.pipe.try_clone()?)?;
            pipe.write_all(&ToGuard::Leave.line()).await?;
            watching::end(&self.process, launch).await
        };
        if !matches!(tokio::time::timeout(LEAVES_WITHIN, gone).await, Ok(Ok(_))) {
            self.kill(launch).await;
        }
    }

    async fn kill(self, launch: &dyn Launch) {
        let killed = launch.end(&self.process, Fatal::Kill);
        if let Err(error) = killed.and(watching::end(&self.process, launch).await) {
            crate::log::error!(%error, "cannot end the guard of the nodes");
        }
    }
}
