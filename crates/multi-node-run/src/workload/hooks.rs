//! The hooks by which the master runs programs that do not link the library.

use std::io;

use tokio::time::Instant;

use super::closing::Queues;
use super::encoding::ForeignState;
use super::node_js::Channel;
use super::{Foreign, ProcessEvent, ProcessMonitor};
use crate::control::{Encoded, PassedSocket};
use crate::error::describe;
use crate::id::{Generation, NodeId};
use crate::program::Program;
use crate::serve::Socket;
use crate::status::{ProgramStatus, ReadyBy};
use crate::supervisor::{
    Beside, Given, NodeNews, NodeView, Properties, Reaction, StartContext, Waits, Welcome, Workload, WorkloadSpec,
    cannot_close,
};
use crate::{Error, NotApplied};
use multi_node_fleet::fleet::Event;

impl WorkloadSpec for Program {
    fn properties(&self) -> Properties {
        Properties {
            same_program: false,
            all_speak: false,
            all_beat: self.watchdog.is_some(),
            joins_master: false,
            is_guarded: true,
            descriptors: Some(Foreign::descriptors(self)),
            hang_timeout: self.watchdog,
            output: self.output.clone(),
        }
    }

    fn look_up(&self) -> Result<(), Error> {
        self.find().map(drop)
    }

    fn check_left(&self, left: Option<&Encoded>) -> Result<(), String> {
        let left = left.ok_or("the nodes are of the running program, and not of another that it runs")?;
        let left = left
            .clone()
            .decode::<ForeignState>()
            .map_err(|error| format!("the state of the running program cannot be read: {error}"))?;
        if left.collects && self.output.is_none() {
            return Err("the new program would not read what nodes write, as the running one does".to_owned());
        }
        Ok(())
    }

    fn begin(self: Box<Self>, context: StartContext<'_>) -> Result<Box<dyn Workload>, Error> {
        self.check(context.sockets.iter().map(Vec::len).sum())?;
        self.prepare(context.sockets).map_err(Error::io("prepare the listening sockets"))?;
        Ok(Box::new(Foreign::begin(*self, context)?))
    }

    fn resume(self: Box<Self>, left: Option<Encoded>, context: StartContext<'_>) -> io::Result<Box<dyn Workload>> {
        let left = left.ok_or_else(|| io::Error::other("the nodes are of the running program itself"))?;
        Ok(Box::new(Foreign::unpack(&self, left.decode()?, context)?))
    }
}

impl Program {
    /// Programs expect sockets that block, as systemd and Server::Starter hand them; those that do not want that say so. Small
    /// writes are to be sent at once: those that are handed a socket may not say that (uvicorn by `--fd` does not), and an answer
    /// in two parts waits 40 ms for the client's acknowledgement then.
    fn prepare(&self, sockets: &[Vec<Socket>]) -> io::Result<()> {
        sockets.iter().flatten().try_for_each(|socket| {
            socket.set_nonblocking(false)?;
            socket.set_nodelay()?;
            if self.defer_accept { socket.defer_accept() } else { Ok(()) }
        })
    }
}

impl Workload for Foreign {
    fn resolve(&mut self, generation: Generation) -> Result<(), String> {
        Foreign::resolve(self, generation)
    }

    fn keep(&mut self, used: &dyn Fn(Generation) -> bool) {
        self.programs.retain(|generation, _| used(*generation));
        self.linked.keep(used);
    }

    fn not_applied(&self, generation: Generation) -> &[NotApplied] {
        self.programs.get(&generation).map(|known| known.program.not_applied.as_slice()).unwrap_or_default()
    }

    fn stop_signal(&self, generation: Generation) -> io::Result<i32> {
        Ok(self.known(generation)?.program.stop_signal)
    }

    fn bind<'a>(&'a mut self, node: NodeView, addresses: &'a [Vec<String>], given: Given<'a>) -> Waits<'a> {
        Box::pin(async move {
            if self.nodes.contains_key(&node.info.id()) {
                self.programs.get_mut(&node.generation).into_iter().for_each(|known| known.is_linked = true);
                self.linked.bind(node.generation, addresses, given.first()).await;
            }
        })
    }

    /// The exec shim says hello first, and then its program, if that links the library.
    fn hello(&mut self, node: NodeView, addresses: &[Vec<String>], given: Given<'_>) -> Result<Welcome, String> {
        let id = node.info.id();
        let Some(monitor) = self.nodes.get_mut(&id) else {
            let prepared = self.template(node.info, node.generation, given.first());
            let (exec, monitor) = prepared.map_err(|error| describe(&error))?;
            self.nodes.insert(id, monitor);
            return Ok(Welcome::Exec(Box::new(exec)));
        };
        if monitor.draining {
            return Err("the node is to end already".to_owned());
        }
        let servers = PassedSocket::all(self.linked.sockets(addresses, given.first())?);
        let servers = servers.map_err(|error| describe(&error))?;
        monitor.links();
        Ok(Welcome::Program(servers))
    }

    fn heard(&mut self, node: NodeView, news: NodeNews<'_>) -> Reaction {
        let id = node.info.id();
        match news {
            NodeNews::Observed(observation) => {
                return ProcessEvent::decode(observation).map_or(Reaction::Nothing, |event| self.observed(node, event));
            }
            NodeNews::Ready if self.nodes.contains_key(&id) => return self.becomes_ready(node, ReadyBy::Linked),
            NodeNews::Ready => return Reaction::Event(Event::Ready { id }),
            NodeNews::Ended { well, written } => return self.ended(node, well, &written),
            NodeNews::Exited(exit) => self.exited(id, exit),
            NodeNews::Forgotten => drop(self.nodes.remove(&id)),
            NodeNews::Became(observer) => {
                let Some(monitor) = self.nodes.get_mut(&id) else { return Reaction::Nothing };
                monitor.begin(observer);
                return Reaction::Event(Event::Runs { id, lacks: monitor.lacks() });
            }
            NodeNews::Resumed(observer) => {
                self.nodes.get_mut(&id).into_iter().for_each(|monitor| monitor.resume(observer.clone()));
            }
            NodeNews::Settled => self.nodes.get_mut(&id).into_iter().for_each(ProcessMonitor::settled),
        }
        Reaction::Nothing
    }

    fn wants_last_output(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|monitor| monitor.seen.ready_by.is_none())
    }

    fn ask_to_finish(&mut self, id: NodeId) -> bool {
        self.nodes.get_mut(&id).is_some_and(ProcessMonitor::disconnect)
    }

    fn refuse_newcomers(&mut self, given: &[Vec<Socket>], deadline: Option<Instant>) -> Option<Waits<'static, bool>> {
        let all = given.iter().flatten().chain(self.bound_for_linked()).map(Socket::try_clone);
        let sockets = all.filter_map(|socket| socket.inspect_err(cannot_close).ok()).collect();
        let primary = self.primary_ending();
        Some(Box::pin(async move {
            let queues = Queues::close(sockets, primary).await;
            let Some(deadline) = deadline else { return false };
            if !queues.are_served(deadline).await {
                crate::log::warn!("connections wait that no node takes; nodes are told to end all the same");
            }
            true
        }))
    }

    fn close(&mut self) {
        if let Some(primary) = self.primary_ending() {
            tokio::spawn(async move { primary.close().await });
        }
    }

    fn bound(&self) -> Vec<String> {
        Foreign::bound(self)
    }

    /// A node that has not yet shown whether it links the library counts like its predecessors.
    fn status(&self, node: Option<NodeView>, generation: Generation) -> Option<ProgramStatus> {
        let monitor = node.and_then(|node| self.nodes.get(&node.info.id()));
        let seen = monitor.map(|monitor| monitor.seen.clone()).unwrap_or_default();
        let will_link = seen.ready_by.is_none() && self.is_linked(generation);
        (!will_link && !node.is_some_and(|node| node.is_welcome)).then_some(seen)
    }

    fn run_beside(&mut self, generation: Option<Generation>, beside: Beside<'_>) {
        self.run_primary_process(generation, beside);
    }

    fn leave(&mut self) -> Waits<'_> {
        Box::pin(async {
            if let Some(primary) = self.primary_process.take() {
                primary.leave().await;
            }
        })
    }

    /// The primary of Node.js programs rests after all its workers.
    fn rest(&mut self) -> Waits<'_> {
        Box::pin(async {
            if let Some(primary) = &mut self.primary_process {
                primary.rest().await;
            }
            for monitor in self.nodes.values_mut() {
                monitor.rest().await;
            }
            if let Some(primary) = &mut self.primary {
                primary.rest().await;
                self.nodes.values_mut().filter_map(ProcessMonitor::channel).for_each(Channel::gather);
            }
        })
    }

    fn go_on(&mut self) {
        if let Some(primary) = &mut self.primary {
            let outbox = |(id, node): (&NodeId, &mut ProcessMonitor)| Some((*id, node.channel()?.outbox()));
            primary.go_on(self.nodes.iter_mut().filter_map(outbox).collect());
        }
        if let Some(primary) = &mut self.primary_process {
            primary.go_on();
        }
    }

    fn save(&self) -> io::Result<Option<Encoded>> {
        Encoded::of(&self.pack()?).map(Some)
    }
}
