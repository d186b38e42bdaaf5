//! What follows from what is noticed of a node.

use super::advice::{advice, in_use, last_line};
use super::{Foreign, ProcessEvent, ProcessMonitor};
use crate::id::NodeId;
use crate::status::ReadyBy;
use crate::supervisor::TARGET;
use crate::supervisor::{NodeView, Reaction};
use multi_node_fleet::fleet::Event;

/// What it means if a node finds its address in use.
const IN_USE: &str = "a node that binds an address itself does not use the socket that all nodes share";

/// What it means if a node that has not served exits with success.
const BACKGROUND: &str = "a server that puts itself into the background has to be told to stay in the foreground";

impl Foreign {
    pub(super) fn observed(&mut self, node: NodeView, event: ProcessEvent) -> Reaction {
        let id = node.info.id();
        Reaction::Event(match event {
            // A program that links the library reports these on its control socket instead.
            ProcessEvent::Ready(_)
            | ProcessEvent::Unready(_)
            | ProcessEvent::Lacks(_)
            | ProcessEvent::Hopeless(_)
            | ProcessEvent::Stopping
            | ProcessEvent::Disconnected
                if node.is_welcome =>
            {
                return Reaction::Nothing;
            }
            ProcessEvent::Ready(by) => return self.becomes_ready(node, by),
            ProcessEvent::Unready(why) => {
                let is_watched = self.nodes.get(&id).is_some_and(ProcessMonitor::is_watched);
                return if is_watched { Reaction::Event(Event::Unready { id, why }) } else { Reaction::Nothing };
            }
            ProcessEvent::Lacks(lacks) => Event::Runs { id, lacks },
            ProcessEvent::Hopeless(why) => Event::Hopeless { id, why },
            ProcessEvent::Status(text) => {
                self.nodes.get_mut(&id).into_iter().for_each(|monitor| monitor.seen.said = Some(text.clone()));
                Event::Beat { id }
            }
            ProcessEvent::Beat | ProcessEvent::Listens => Event::Beat { id },
            ProcessEvent::Preload(loaded) => return self.preload_loaded(id, loaded),
            ProcessEvent::Hangs => Event::Broken { id, why: "it says that it hangs (WATCHDOG=trigger)".to_owned() },
            ProcessEvent::Stopping => {
                self.nodes.get_mut(&id).into_iter().for_each(|monitor| monitor.draining = true);
                Event::Leaving { id }
            }
            // What keeps it running, a timer or a connection to a database, is not for its clients.
            ProcessEvent::Disconnected if self.nodes.get(&id).is_some_and(|monitor| monitor.draining) => {
                return Reaction::Signal;
            }
            ProcessEvent::Disconnected => Event::Leaving { id },
            ProcessEvent::Extend(by) => Event::Extended { id, by },
            ProcessEvent::MainPid(pid) => return Reaction::MainProcess(pid),
        })
    }

    /// A server that has not served yet is not meant to end, least of all with success. What it wrote last may tell why.
    pub(super) fn ended(&self, node: NodeView, well: bool, written: &[String]) -> Reaction {
        let id = node.info.id();
        let starts = |id| self.nodes.get(&id).filter(|monitor| monitor.seen.ready_by.is_none());
        let Some(monitor) = starts(id).filter(|_| !node.is_welcome) else { return Reaction::Nothing };
        let is_in_use = |line| format!("it says: {line}; {IN_USE}: {}", advice(&[monitor.words().to_vec()]));
        let is_in_use = in_use(written).map(is_in_use);
        let background = || well.then(|| BACKGROUND.to_owned());
        let last = || last_line(written).map(|line| format!("its last line of standard error: {line}"));
        let why = is_in_use.or_else(background).or_else(last);
        why.map_or(Reaction::Nothing, |why| Reaction::Event(Event::Failed { id, why }))
    }

    /// Several signs may come; the first counts.
    pub(super) fn becomes_ready(&mut self, node: NodeView, by: ReadyBy) -> Reaction {
        let (id, pid) = (node.info.id(), node.info.pid());
        let Some(monitor) = self.nodes.get_mut(&id) else { return Reaction::Nothing };
        let Some(by) = monitor.becomes_ready(by) else { return Reaction::Nothing };
        // Only new nodes that have to prove themselves are watched further.
        if !node.has_to_prove_itself {
            monitor.settled();
        }
        crate::log::info!(target: TARGET, %id, pid, "taken for ready: {by}");
        Reaction::Event(Event::Ready { id })
    }

    /// A Node.js program has loaded the preload, or the preload does nothing.
    fn preload_loaded(&mut self, id: NodeId, loaded: Result<(), String>) -> Reaction {
        if let Err(why) = &loaded {
            self.preload.warn(why);
        }
        let shown = loaded.map_or_else(|why| format!("off: {why}"), |()| "on".to_owned());
        if let Some(monitor) = self.nodes.get_mut(&id) {
            monitor.seen.preload = Some(shown);
        }
        Reaction::Nothing
    }
}
