//! The process, and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use super::talk::Talk;
use crate::status::Exit;
use crate::supervisor;
use crate::supervisor::Launch;
use crate::sys::signal::TERM;
use multi_node_fleet::fleet::Fatal;

/// How long it may take to end when it is asked to.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// A process that was started and not reaped.
#[derive(Debug)]
pub(in crate::workload) struct Running {
    pub(in crate::workload) pid: u32,
    pub(in crate::workload) process: OwnedFd,
    /// How it was started; `None`: by another master.
    pub(super) plan: Option<Arc<Plan>>,
    pub(super) talk: Option<Talk>,
}

impl Running {
    /// One that another master has left, whose channel has closed with that.
    pub(in crate::workload) fn left(pid: u32, process: OwnedFd) -> Running {
        Running { pid, process, plan: None, talk: None }
    }

    pub(super) fn is_of(&self, plan: &Arc<Plan>) -> bool {
        self.plan.as_ref().is_some_and(|own| Arc::ptr_eq(own, plan))
    }

    /// Waits for its end, which ends its children too, as far as they are of its process group.
    pub(super) async fn end(&self, launch: &dyn Launch) -> io::Result<Exit> {
        supervisor::until_end(&self.process).await?;
        // It leads its group until it is reaped.
        launch.end_group(self.pid)?;
        supervisor::end(&self.process, launch).await
    }

    /// Has it end.
    pub(super) async fn stop(self, launch: &dyn Launch) {
        if let Err(error) = launch.forward(&self.process, TERM) {
            crate::log::error!(pid = self.pid, %error, "cannot signal the primary process");
        }
        match tokio::time::timeout(LEAVES_WITHIN, self.end(launch)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => crate::log::error!(pid = self.pid, %error, "cannot end the primary process"),
            Err(_) => {
                crate::log::warn!(
                    pid = self.pid,
                    "the primary process has not ended {LEAVES_WITHIN:?} after SIGTERM; killing it"
                );
                self.kill(launch).await;
            }
        }
    }

    pub(super) async fn kill(self, launch: &dyn Launch) {
        let killed = launch.end(&self.process, Fatal::Kill);
        if let Err(error) = killed.and(self.end(launch).await) {
            crate::log::error!(pid = self.pid, %error, "cannot end the primary process");
        }
    }
}
