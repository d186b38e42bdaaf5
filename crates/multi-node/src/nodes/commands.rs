//! What a process asks of the fleet.

use std::convert::Infallible;

use tokio::sync::oneshot;

use super::Handle;
use crate::command::{Command, CommandError, ReloadReport, Replacement, Report, ScaleReport};
use crate::id::Slot;
use crate::process_links::CommandRequest;

impl Handle {
    /// Replaces every node by a new one of the program as it is on disk now, slot by slot, or all together
    /// ([`Options::rolling`](crate::Options::rolling)), each new one ready before its old one drains; resolves when the last old
    /// one has ended.
    ///
    /// Only the switch from old to new nodes is exclusive. A reload that is ordered meanwhile begins right after it, on what is
    /// on disk then; of several the last does. It begins while old nodes drain, unless those of two older generations do.
    ///
    /// # Errors
    /// [`CommandError::Failed`] where a new node did not come up, or did not prove itself, in which case those that have not been
    /// replaced go on serving; [`CommandError::Superseded`] where a later reload came before this one had begun; the other
    /// variants say why nothing was begun. Dropping the future does not stop the reload.
    ///
    /// A request handler that waits for it waits for the end of its own node, and is cut at the drain deadline.
    pub async fn reload(&self) -> Result<ReloadReport, CommandError> {
        match self.command(Command::Reload).await? {
            Report::Reload(report) => Ok(report),
            _ => Err(CommandError::MasterGone),
        }
    }

    /// As [`reload`](Handle::reload), and does not wait for older generations to drain: while the nodes of two of them do, a
    /// reload has to wait, and this one kills those of the oldest.
    ///
    /// # Errors
    /// As `reload`.
    pub async fn reload_now(&self) -> Result<ReloadReport, CommandError> {
        match self.command(Command::ReloadNow).await? {
            Report::Reload(report) => Ok(report),
            _ => Err(CommandError::MasterGone),
        }
    }

    /// Replaces one slot's node by another of the same program (its generation's, whatever is on disk now), which is
    /// ready before the old one drains; resolves when the old one has ended. A slot that rests is tried at once.
    ///
    /// # Errors
    /// [`CommandError::NoSuchSlot`]; [`CommandError::Failed`] where the new node did not come up, in which case the old one
    /// goes on serving; the other variants say why nothing was begun. Dropping the future does not stop the restart.
    pub async fn restart(&self, slot: Slot) -> Result<Replacement, CommandError> {
        match self.command(Command::Restart { slot }).await? {
            Report::Restart(report) => Ok(report),
            _ => Err(CommandError::MasterGone),
        }
    }

    /// Replaces the whole program, the master included, by the one that is on disk now, without ending the process that was
    /// started: its id, the listening sockets and the connections stay.
    ///
    /// The new program is tried in a child first; then all nodes are replaced as in a [`reload`](Handle::reload); then the
    /// master's process runs the new program (execve(2)), whose `listen` takes everything over. So this returns only where
    /// something has failed: what comes after a success is the next program.
    ///
    /// # Errors
    /// [`CommandError::Failed`] where the new program does not reach `listen`, could not go on from here, or its nodes did
    /// not come up, and where this program or the new one is built without the feature `upgrade`;
    /// [`CommandError::MasterStays`] where everything but the last step succeeded; the other variants say why nothing was
    /// begun. Dropping the future does not stop the upgrade.
    pub async fn upgrade(&self) -> Result<Infallible, CommandError> {
        Err(match self.command(Command::Upgrade).await {
            Err(refusal) => refusal,
            Ok(_) => self.unreachable(),
        })
    }

    /// Changes the number of nodes; resolves when the new ones serve, or the surplus ones have drained and ended.
    ///
    /// # Errors
    /// [`CommandError::OutOfRange`] for 0 and for more than `max_nodes`; [`CommandError::Failed`] where a new node did not
    /// come up, in which case the number is as before.
    pub async fn scale(&self, nodes: usize) -> Result<ScaleReport, CommandError> {
        match self.command(Command::Scale { nodes }).await? {
            Report::Scale(report) => Ok(report),
            _ => Err(CommandError::MasterGone),
        }
    }

    /// Ends the program: after `shutdown_delay` all nodes drain. Resolves when the last has ended; in a node that is
    /// never seen, since that node ends with the others.
    ///
    /// # Errors
    /// [`CommandError::NotFromNodes`] in a node, unless `commands_from_nodes` allows it.
    pub async fn shutdown(&self) -> Result<(), CommandError> {
        self.command(Command::Shutdown { now: false }).await.map(drop)
    }

    /// Ends the program at once, without `shutdown_delay` and drain: all nodes are killed.
    ///
    /// # Errors
    /// As [`shutdown`](Handle::shutdown).
    pub async fn shutdown_now(&self) -> Result<(), CommandError> {
        self.command(Command::Shutdown { now: true }).await.map(drop)
    }

    /// Resolves once every command that this process gave before has been begun or refused.
    pub(crate) async fn commands_taken(&self) {
        // Commands are taken in turn, and one that concerns no slot is refused on the spot.
        let _refused = self.command(Command::Signal { slot: Some(Slot(u16::MAX)), signal: 0 }).await;
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Report, CommandError> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| self.unreachable();
        self.0.asks.send(CommandRequest { command, reply }).await.map_err(|_| self.unreachable())?;
        answer.await.map_err(gone)?
    }

    fn unreachable(&self) -> CommandError {
        if self.is_master() { CommandError::ShuttingDown } else { CommandError::MasterGone }
    }
}
