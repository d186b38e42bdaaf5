//! The master's side of a preflight: a child that runs the new program as far as `listen`, and says what it makes of the
//! state.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch::channel;
use tokio::task::JoinHandle;

use super::courier;
use super::state::{LEFT_OUT, State};
use crate::control::{self, Reader};
use crate::error::describe;
use crate::family::{Left, Stop};
use crate::id::{Generation, NodeId};
use crate::status::Exit;
use crate::supervisor::child::Child;
use crate::supervisor::fleet::{Fatal, Saved};
use crate::supervisor::launch::{Launch, Process};
use crate::supervisor::member::leader;
use crate::supervisor::members::Members;
use crate::supervisor::run::Supervisor;
use crate::supervisor::watch;
use crate::sys;

/// How long a child that hung up may take to end.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It could continue from here.
    Ready,
    Refused {
        why: String,
    },
}

/// A preflight under way. Dropped, it ends, and so does its child.
#[derive(Debug)]
pub(crate) struct Preflight {
    generation: Generation,
    outcome: JoinHandle<Result<(), String>>,
}

impl Preflight {
    /// Starts the newest generation's program, which has so long to answer.
    fn begin(generation: Generation, members: &Members, fleet: Saved, within: Duration) -> io::Result<Preflight> {
        let (ours, theirs) = sys::socket::pair()?;
        courier::send(ours.as_fd(), &State::of(members, fleet)?)?;
        let Process { pid, process } = members.launcher.preflight(theirs)?;
        let child = Child { pid, process, control: ours.into() };
        let (run, looks, rule) = members.of_trial();
        let left = Left::new((NodeId::MASTER, leader(pid)), (run, looks), rule, channel(Stop::No).1);
        let outcome = tokio::spawn(preflight(child, left, within, members.launcher.launch.clone()));
        Ok(Preflight { generation, outcome })
    }

    /// What came of it. Cancel-safe.
    async fn outcome(&mut self) -> (Generation, Result<(), String>) {
        let outcome = (&mut self.outcome).await;
        (self.generation, outcome.unwrap_or_else(|error| Err(error.to_string())))
    }
}

impl Drop for Preflight {
    fn drop(&mut self) {
        self.outcome.abort();
    }
}

impl Supervisor {
    /// Tries the program of this generation, which is the newest.
    pub(in crate::supervisor) fn preflight(&self, generation: Generation) -> Result<Preflight, String> {
        if let Some(why) = LEFT_OUT {
            return Err(why.to_owned());
        }
        if self.config.master_listen {
            return Err(
                "the master serves connections itself (`Options::master_listen`), which would be lost".to_owned()
            );
        }
        let fleet = self.fleet.save(Instant::now());
        Preflight::begin(generation, &self.members, fleet, self.config.start_timeout)
            .map_err(|error| format!("the new program could not be tried in a child: {}", describe(&error)))
    }
}

/// What comes of the trial, if there is one. Cancel-safe.
pub(crate) async fn preflighted(preflight: &mut Option<Preflight>) -> (Generation, Result<(), String>) {
    match preflight {
        Some(preflight) => preflight.outcome().await,
        None => std::future::pending().await,
    }
}

/// Kills the child when it is over, in whatever way. Only then it is reaped, so that the number is its own until then.
struct Doomed {
    process: OwnedFd,
    /// The group that it leads, until what is left of that was ended with more patience.
    group: Option<u32>,
    launch: Arc<dyn Launch>,
}

impl Drop for Doomed {
    fn drop(&mut self) {
        let group = self.group.map_or(Ok(()), |leader| self.launch.end_group(leader));
        if let Err(error) = self.launch.end(&self.process, Fatal::Kill).and(group) {
            crate::log::error!(%error, "cannot kill the process that preflighted an upgrade");
        }
    }
}

async fn preflight(child: Child, left: Left, within: Duration, launch: Arc<dyn Launch>) -> Result<(), String> {
    let Child { pid, process, control } = child;
    crate::log::debug!(pid, "the new program is tried in a child");
    let watched = process.try_clone().map_err(|error| describe(&error))?;
    let mut doomed = Doomed { process, group: Some(pid), launch: launch.clone() };
    let verdict = tokio::time::timeout(within, verdict(control.into(), &watched)).await;
    let exit = end(&doomed.process, &watched, left, &*launch).await;
    doomed.group = None;
    match verdict {
        Ok(Ok(Verdict::Ready)) => Ok(()),
        Ok(Ok(Verdict::Refused { why })) => Err(why),
        Ok(Err(Silence::Ended)) => Err(format!(
            "the new program, tried in a child, ended with {} before it reached `listen`; its own output says why",
            exit.unwrap_or(Exit::Unknown),
        )),
        Ok(Err(Silence::Closed)) => {
            Err("the new program, tried in a child, closed its standard input and did not reach `listen`".to_owned())
        }
        Ok(Err(Silence::Failed(error))) => Err(describe(&error)),
        Err(_) => Err(format!("the new program, tried in a child, did not reach `listen` within {within:?}")),
    }
}

/// Ends the child, and what it has started, and reaps it.
async fn end(process: &OwnedFd, watched: &OwnedFd, left: Left, launch: &dyn Launch) -> io::Result<Exit> {
    launch.end(process, Fatal::Kill)?;
    watch::until_end(watched).await?;
    left.end(LAST_BREATH).await?;
    watch::end(watched, launch).await
}

/// Why there is no verdict.
enum Silence {
    Ended,
    Closed,
    Failed(io::Error),
}

async fn verdict(control: OwnedFd, process: &OwnedFd) -> Result<Verdict, Silence> {
    let (mut reader, _): (Reader<Verdict>, _) =
        control::channel::<_, Verdict>(control.into()).map_err(Silence::Failed)?;
    match reader.next().await {
        Ok(Some(verdict)) => Ok(verdict),
        // It has ended, or is about to.
        Ok(None) | Err(_) => match tokio::time::timeout(LAST_BREATH, watch::until_end(process)).await {
            Ok(Ok(())) => Err(Silence::Ended),
            _ => Err(Silence::Closed),
        },
    }
}
