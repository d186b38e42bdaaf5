//! How nodes are asked to finish, and which of their processes is asked.

use std::time::Duration;

use super::member::Main;
use super::members::Members;
use super::run::TARGET;
use super::workload::NodeNews;
use crate::control::ToNode;
use crate::family::Stop;
use crate::id::NodeId;

impl Members {
    /// Takes another process of the node for the one to signal.
    pub(super) fn name_main(&mut self, id: NodeId, pid: u32) {
        let Some(member) = self.alive.get_mut(&id) else { return };
        match Main::of(member.info.pid(), pid) {
            Ok(main) => {
                crate::log::info!(target: TARGET, %id, started = member.info.pid(), pid, "the node is another process now (MAINPID)");
                member.name_main(main);
                self.tell_guard(id);
            }
            Err(error) => crate::log::warn!(%id, pid, %error, "MAINPID names no process of the node"),
        }
    }

    /// Asks the node to finish: by a message, or by a signal if it does not speak. If the sockets are being closed, the signal
    /// comes when no connection waits in their queues.
    pub(super) fn drain(&mut self, id: NodeId, within: Duration, successors: Vec<Vec<NodeId>>, closing: bool) {
        self.mark_draining(id);
        if self.speaks(id) {
            return self.tell(id, ToNode::Drain { within, successors, closing });
        }
        if closing {
            return self.closing.wait(id, within);
        }
        self.end(id);
    }

    /// Has a node that does not speak finish what it has, and end.
    pub(super) fn end(&mut self, id: NodeId) {
        if !self.template.workload.ask_to_finish(id) {
            self.signal(id);
        }
    }

    /// Sends the node its signal to finish.
    pub(super) fn signal(&self, id: NodeId) {
        let Some(member) = self.get(id) else { return };
        member.stop(Stop::Asked);
        let (pid, process) = member.main();
        let signal = self.template.workload.stop_signal(member.generation);
        if let Err(error) = signal.and_then(|signal| self.launcher.launch.forward(process, signal)) {
            crate::log::error!(%id, pid, %error, "cannot signal the node");
        }
    }

    /// It matters no more whether the node stays ready: the verdict on its reload is reached.
    pub(super) fn settled(&mut self, id: NodeId) {
        if let Some(node) = self.view(id) {
            self.template.workload.heard(node, NodeNews::Settled);
        }
    }
}
