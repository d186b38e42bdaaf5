//! Nodes of other programs: how they are asked to end, and which of their processes is the main process.

use std::time::Duration;

use super::foreign::{Main, ProcessMonitor};
use super::member::Member;
use super::members::Members;
use super::run::TARGET;
use crate::control::ToNode;
use crate::family::Stop;
use crate::id::NodeId;
use crate::status::Exit;

impl Members {
    /// The node's program runs. What is lacking until it is ready.
    pub(super) fn attend(&mut self, id: NodeId) -> Option<String> {
        let (events, rest) = (self.events.clone(), self.rest.subscribe());
        let monitor = self.monitor(id)?;
        monitor.begin(events, rest);
        Some(monitor.lacks())
    }

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

    /// Asks the node to finish: by a message, or by a signal if the program knows no message. If the sockets are being
    /// closed, the signal comes when no connection waits in their queues.
    pub(super) fn drain(&mut self, id: NodeId, within: Duration, successors: Vec<Vec<NodeId>>, closing: bool) {
        self.mark_draining(id);
        if self.template.foreign.is_none() || self.is_welcome(id) {
            return self.tell(id, ToNode::Drain { within, successors, closing });
        }
        if closing {
            return self.closing.wait(id, within);
        }
        self.end(id);
    }

    /// Has a program that knows no messages finish what it has, and end.
    pub(super) fn end(&mut self, id: NodeId) {
        let disconnects = self.monitor(id).is_some_and(ProcessMonitor::disconnect);
        if !disconnects {
            self.stop(id);
        }
    }

    /// A Node.js program has loaded the preload, or the preload does nothing.
    pub(super) fn preload(&mut self, id: NodeId, loaded: Result<(), String>) {
        if let (Err(why), Some(foreign)) = (&loaded, &mut self.template.foreign) {
            foreign.preload.warn(why);
        }
        let shown = loaded.map_or_else(|why| format!("off: {why}"), |()| "on".to_owned());
        if let Some(monitor) = self.monitor(id) {
            monitor.seen.preload = Some(shown);
        }
    }

    /// A Node.js program has closed its channel: it serves no more. Returns whether that was expected.
    pub(super) fn disconnected(&mut self, id: NodeId) -> bool {
        let expected = self.monitor(id).is_some_and(|monitor| monitor.draining);
        if expected {
            // What keeps it running, a timer or a connection to a database, is not for its clients.
            self.stop(id);
        }
        expected
    }

    /// Reports to the primary of Node.js programs that a node's process has ended.
    pub(super) fn tell_primary(&self, id: NodeId, exit: Exit) {
        self.template.foreign.iter().for_each(|foreign| foreign.exited(id, exit));
    }

    fn stop(&self, id: NodeId) {
        let (Some(member), Some(foreign)) = (self.alive.get(&id), &self.template.foreign) else { return };
        member.stop(Stop::Asked);
        let (pid, process) = member.main();
        let signal = foreign.stop_signal(member.generation);
        if let Err(error) = signal.and_then(|signal| self.launcher.launch.forward(process, signal)) {
            crate::log::error!(%id, pid, %error, "cannot signal the node");
        }
    }

    /// Stops watching whether the node stays ready: the verdict on its reload is reached.
    pub(super) fn settled(&mut self, id: NodeId) {
        if let Some(monitor) = self.monitor(id) {
            monitor.settled();
        }
    }

    pub(super) fn monitor(&mut self, id: NodeId) -> Option<&mut ProcessMonitor> {
        self.alive.get_mut(&id)?.monitor.as_mut()
    }

    /// Whether the node has been welcomed, which programs are not that do not link this crate.
    pub(super) fn is_welcome(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(Member::is_welcome)
    }
}
