//! What is left of a node when its main process has ended, as its master ends it.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ending::{Command, Ending};
use super::kinship;
use super::look::{self, EMPTY_LOOKS, Looks};
use super::token::{ProcessId, Run};
use crate::id::NodeId;

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Processes that have not ended so long after SIGKILL are not waited for: they hang in the kernel, or are not ours to kill.
const GIVE_UP: Duration = Duration::from_secs(2);

/// Whether a node was asked to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    #[default]
    No,
    /// It was asked to finish.
    Asked,
    /// Its time is over.
    Now,
}

/// How a program is asked to finish, and how long it has for that.
#[derive(Clone, Copy, Debug)]
pub struct StopRule {
    pub signal: i32,
    pub within: Duration,
}

/// A node's processes.
#[derive(Debug)]
pub struct Left {
    node: NodeId,
    leader: ProcessId,
    run: Run,
    looks: Looks,
    rule: StopRule,
    stop: watch::Receiver<Stop>,
    /// What has been sent so far: a caller may stop waiting, and begin again.
    begun: Mutex<Option<Ending>>,
}

impl Left {
    /// `leader` leads a process group.
    pub fn new(
        (node, leader): (NodeId, ProcessId),
        (run, looks): (Run, Looks),
        rule: StopRule,
        stop: watch::Receiver<Stop>,
    ) -> Left {
        Left { node, leader, run, looks, rule, stop, begun: Mutex::new(None) }
    }

    /// Ends them after the main process has ended: first by the program's stop signal, then by SIGKILL when the node's time
    /// is over. If the node was not asked to finish, they have `patience`. The leader must not have been reaped. Cancel-safe.
    pub async fn end(&self, patience: Duration) -> io::Result<()> {
        let (mut stop, mut empty) = (self.stop.clone(), 0);
        loop {
            let all = self.looks.look().await?;
            let leaders = [(self.node, self.leader)].into();
            let left = kinship::families(&all, &self.run, &leaders, std::process::id()).remove(&self.node);
            let Some(left) = left else {
                empty += 1;
                if empty == EMPTY_LOOKS {
                    return Ok(());
                }
                continue;
            };
            empty = 0;
            let now = Instant::now();
            let kill_at = self.signal(&left, now, patience, *stop.borrow_and_update());
            if now > kill_at + GIVE_UP {
                crate::log::error!(id = %self.node, pids = ?pids(&left), "what the node has started cannot be ended");
                return Ok(());
            }
            let hurried = async {
                // An error means that the sender is gone.
                if stop.wait_for(|stop| *stop == Stop::Now && now < kill_at).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let _ = tokio::time::timeout(LOOK_EVERY, hurried).await;
        }
    }

    /// Sends the signals that are due, and returns when the processes are killed.
    fn signal(&self, left: &[ProcessId], now: Instant, patience: Duration, stop: Stop) -> Instant {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = if stop == Stop::Asked { self.rule.within } else { patience };
        let ending = begun.get_or_insert_with(|| Ending::new(now + patience));
        if stop == Stop::Now {
            ending.hurry(now);
        }
        let commands = ending.step(now, left, None);
        self.tell(&commands);
        for (process, command) in commands {
            if let Err(error) = look::signal(process, command.signal(self.rule.signal)) {
                crate::log::debug!(id = %self.node, pid = process.pid, %error, "cannot signal what the node has started");
            }
        }
        ending.kill_at()
    }

    fn tell(&self, commands: &[(ProcessId, Command)]) {
        let sent =
            |wanted| commands.iter().filter(move |(_, command)| *command == wanted).map(|(process, _)| process.pid);
        let (stopped, killed) = (sent(Command::Stop).collect::<Vec<_>>(), sent(Command::Kill).collect::<Vec<_>>());
        if !stopped.is_empty() {
            crate::log::info!(id = %self.node, pids = ?stopped, "the node's main process has ended; ending what it has started");
        }
        if !killed.is_empty() {
            crate::log::warn!(id = %self.node, pids = ?killed, "killing what the node has started");
        }
    }
}

fn pids(left: &[ProcessId]) -> Vec<u32> {
    left.iter().map(|process| process.pid).collect()
}
