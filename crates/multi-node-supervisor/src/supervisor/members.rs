//! The nodes that live: started, welcomed, joined to each other, forgotten.

mod template;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use multi_node_bus::Bus;
use tokio::sync::{Semaphore, mpsc, watch};

pub(crate) use self::template::NodeTemplate;
use super::child::Launcher;
use super::closing::Closing;
use super::fleet::Backoff;
use super::gateway::Gateway;
use super::guard::{self, Guard};
use super::joining::Pairs;
use super::links::Links;
use super::member::{Member, Surroundings, SuspendedMember};
use super::plan::GatewayPlan;
use super::rejoins::Rejoins;
use super::watch::NodeEvent;
use super::workload::{Beside, Given, NodeNews, NodeView, Observer};
use crate::control::{self, Skipped, ToNode, has_capability};
use crate::family::{Looks, Run, StopRule};
use crate::id::{Generation, NodeId, Slot};
use crate::machines::Machines;
use crate::mesh::{self, PeerInfo, Peers};
use crate::process_links::{Snapshot, Totals};
use crate::serve;
use crate::sys::signal::TERM;
use crate::{NotApplied, sys};

pub(crate) struct Members {
    pub(super) template: NodeTemplate,
    pub(super) launcher: Launcher,
    /// Whether processes are joined to each other at all.
    pub(super) join_peers: bool,
    /// Whether the master's own program has asked for streams to its nodes.
    pub(super) wants_peers: bool,
    /// The master's own.
    pub(super) peers: Peers,
    /// The pairs that wait to be joined, in this order.
    pub(super) pairs: Pairs,
    /// Streams that were made anew.
    rejoins: Rejoins,
    pub(super) links: Links,
    pub(super) alive: BTreeMap<NodeId, Member>,
    free_lines: BTreeSet<usize>,
    /// Lines of nodes that have ended, until no snapshot names them any more.
    left_lines: Vec<usize>,
    /// What nodes have counted that have ended, by slot.
    pub(super) ended: BTreeMap<Slot, Totals>,
    /// How many messages may wait for one node.
    pub(super) outbox: usize,
    pub(super) events: mpsc::Sender<(NodeId, NodeEvent)>,
    /// One look at the nodes' memory at a time.
    weighing: Arc<Semaphore>,
    pub(super) snapshot: watch::Sender<Snapshot>,
    /// Whether all conversations are to rest.
    pub(super) rest: watch::Sender<bool>,
    /// The end of the listening sockets.
    pub(super) closing: Closing,
    looks: Looks,
    drain_timeout: Duration,
    /// What ends nodes, should this process be killed.
    pub(super) guard: Option<Guard>,
    /// How restarts of what runs beside the nodes are spaced.
    pub(super) backoff: Backoff,
    pub(super) gateway_plan: Option<GatewayPlan>,
    pub(super) gateway: Option<Gateway>,
    /// This machine, if the program joins others, and those. The epoch tells this master from others in what the gateway says.
    pub(super) machines: Machines,
}

impl Members {
    pub(crate) fn new(
        template: NodeTemplate,
        launcher: Launcher,
        (join_peers, peers, bus): (bool, Peers, Bus),
        (max_nodes, drain_timeout, backoff): (usize, Duration, Backoff),
        events: mpsc::Sender<(NodeId, NodeEvent)>,
        snapshot: watch::Sender<Snapshot>,
    ) -> Members {
        Members {
            // The first line is the master's own.
            free_lines: (1..template.load.lines()).collect(),
            template,
            launcher,
            join_peers,
            wants_peers: false,
            peers,
            pairs: Pairs::default(),
            rejoins: Rejoins::default(),
            links: Links::new(bus),
            alive: BTreeMap::new(),
            left_lines: Vec::new(),
            ended: BTreeMap::new(),
            // Every other process may come and go before a node reads its first message.
            outbox: 4 * max_nodes + 64,
            events,
            weighing: Arc::new(Semaphore::new(1)),
            snapshot,
            rest: watch::Sender::new(false),
            closing: Closing::default(),
            looks: Looks::start(),
            drain_timeout,
            guard: None,
            backoff,
            gateway_plan: None,
            gateway: None,
            machines: Machines::default(),
        }
    }

    /// Has the nodes guarded that need it; PID 1 needs no guard, since all processes end with it (pid_namespaces(7)).
    pub(super) fn start_guard(&mut self, held: Option<guard::GuardProcess>) {
        if self.template.properties.is_guarded && std::process::id() != 1 {
            self.guard = Some(Guard::start(self.launcher.guard(), self.drain_timeout, held));
        }
    }

    /// Tells the guard of a node, or that another process of it counts now.
    pub(super) fn tell_guard(&self, id: NodeId) {
        if let (Some(guard), Some(member)) = (&self.guard, self.get(id)) {
            guard.registry().add(id, member.processes(), self.rule(member.generation).signal);
        }
    }

    /// How the master tells nodes of this generation to finish.
    fn rule(&self, generation: Generation) -> StopRule {
        let signal = self.template.workload.stop_signal(generation).unwrap_or(TERM);
        StopRule { signal, within: self.drain_timeout }
    }

    /// By what the processes of a trial are found, and how they end.
    pub(super) fn of_trial(&self) -> (Run, Looks, StopRule) {
        let rule = StopRule { signal: TERM, within: self.drain_timeout };
        (self.launcher.instance().clone(), self.looks.clone(), rule)
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Member> {
        self.alive.get(&id)
    }

    /// A node that lives, as its workload sees it.
    pub(super) fn view(&self, id: NodeId) -> Option<NodeView> {
        self.get(id).map(Member::view)
    }

    /// Where its workload tells what it notices of a node.
    pub(super) fn observer(&self, id: NodeId) -> Observer {
        Observer::new(id, self.events.clone(), self.rest.subscribe())
    }

    /// Whether the node uses the control protocol.
    pub(super) fn speaks(&self, id: NodeId) -> bool {
        self.template.properties.all_speak || self.get(id).is_some_and(Member::is_welcome)
    }

    /// Has what runs beside the nodes be that of this generation, or of the newest.
    pub(super) fn run_beside(&mut self, generation: Option<Generation>) {
        let NodeTemplate { workload, sockets, .. } = &mut self.template;
        let registry = self.guard.as_ref().map(Guard::registry);
        let given = Given { addresses: &[], sockets }.first();
        workload.run_beside(generation, Beside { launcher: &self.launcher, registry, backoff: self.backoff, given });
        self.run_gateway(generation);
    }

    pub(super) fn resolve(&mut self, generation: Generation) -> Result<(), String> {
        self.template.workload.resolve(generation)?;
        self.launcher.resolve(generation).map_err(|error| error.to_string())
    }

    /// What is wrong with the files of certificates. Nodes get those that were read before.
    pub(super) fn certificate_errors(&self) -> Vec<String> {
        self.template.tls.view.borrow().errors().map(str::to_owned).collect()
    }

    /// What has changed with this generation, and a reload does not apply.
    pub(super) fn not_applied(&self, generation: Generation) -> Vec<NotApplied> {
        self.template.workload.not_applied(generation).to_vec()
    }

    /// Starts a node, and tells its process id.
    pub(super) fn spawn(&mut self, id: NodeId, slot: Slot, generation: Generation) -> io::Result<u32> {
        let line = self.free_lines.first().copied();
        let line = line.ok_or_else(|| io::Error::other("too many old nodes are still draining"))?;
        let child = self.launcher.spawn(id, slot, generation)?;
        let info = PeerInfo::new(id, Some(slot), child.pid);
        self.take_on(SuspendedMember::new(child, info, generation, line))?;
        Ok(info.pid())
    }

    fn take_on(&mut self, node: SuspendedMember) -> io::Result<()> {
        let around = Surroundings {
            events: self.events.clone(),
            snapshot: self.snapshot.subscribe(),
            rest: self.rest.subscribe(),
            outbox: self.outbox,
            skipped: self.skipped_of(node.line),
            speaks: self.template.properties.all_speak,
            run: self.launcher.instance().clone(),
            looks: self.looks.clone(),
            rule: self.rule(node.generation),
            launch: self.launcher.launch.clone(),
        };
        let member = Member::new(node, around)?;
        let id = member.info.id();
        self.free_lines.remove(&member.line);
        self.alive.insert(id, member);
        self.tell_guard(id);
        let observer = self.observer(id);
        if let Some(node) = self.view(id) {
            self.template.workload.heard(node, NodeNews::Resumed(observer));
        }
        Ok(())
    }

    /// Counts what is skipped of a node in its line, as the node does.
    fn skipped_of(&self, line: usize) -> Skipped {
        let load = self.template.load.clone();
        Skipped::told(move || load.skipped(line))
    }

    /// Suspends all conversations. The caller must keep receiving events meanwhile.
    pub(super) async fn rest(&mut self) -> Vec<SuspendedMember> {
        self.rest.send_replace(true);
        self.template.workload.rest().await;
        let mut suspended = Vec::new();
        for (id, member) in std::mem::take(&mut self.alive) {
            let node = member.view();
            match member.rest().await {
                Ok(node) => suspended.push(node),
                Err(error) => {
                    crate::log::error!(%id, %error, "lost the way to a node, which drains by itself");
                    self.template.workload.heard(node, NodeNews::Forgotten);
                }
            }
        }
        if let Some(guard) = &mut self.guard {
            guard.rest().await;
        }
        self.rest.send_replace(false);
        suspended
    }

    /// Goes on with what another master has counted, and with its lines of the load table.
    pub(super) fn inherit(&mut self, ended: BTreeMap<Slot, Totals>) {
        self.ended = ended;
        for line in &self.free_lines {
            self.template.load.clear(*line);
            self.template.limits.0.clear_gauges_of(*line);
        }
    }

    /// Goes on with conversations where they were left.
    pub(super) fn resume(&mut self, suspended: Vec<SuspendedMember>) -> io::Result<()> {
        self.template.workload.go_on();
        let taken_on = suspended.into_iter().try_for_each(|node| self.take_on(node));
        if let Some(guard) = &mut self.guard {
            guard.go_on();
        }
        taken_on
    }

    /// Tells the nodes of this master, which comes after another one. Those of the protocol's first version notice nothing,
    /// and neither do programs that do not link this crate.
    pub(super) fn succeed(&mut self) -> io::Result<()> {
        let understand = self.alive.values().filter(|member| understands_newer(member));
        for info in understand.map(|member| member.info).collect::<Vec<_>>() {
            self.tell(info.id(), ToNode::Gone { id: NodeId::MASTER });
            self.join_master(info.id());
            self.tell_newer(info.id(), ToNode::Adopted { settings: self.template.settings.clone() });
        }
        Ok(())
    }

    /// Tells all nodes that the master has not left after all.
    pub(super) fn reassure(&self) {
        for id in self.alive.keys() {
            self.tell_newer(*id, ToNode::Adopted { settings: self.template.settings.clone() });
        }
    }

    /// Tells all nodes that the master leaves for its successor, which has so long to come.
    pub(super) fn announce_departure(&self, within: Duration) {
        for id in self.alive.keys() {
            self.tell_newer(*id, ToNode::Departing { within });
        }
    }

    /// Makes another stream between two processes, of which the first wants one: each gets it with the next epoch.
    pub(super) fn rejoin(&mut self, wants: NodeId, other: NodeId) -> Result<(), String> {
        let pair = (wants.min(other), wants.max(other));
        let (first, second) = (self.joined_info(pair.0)?, self.joined_info(pair.1)?);
        if !self.join_peers || pair.0 == pair.1 || (pair.0.is_master() && !self.template.properties.joins_master) {
            return Err("these two are not joined".to_owned());
        }
        let epoch = self.rejoins.next(pair, Instant::now())?;
        let (to_first, to_second) = sys::socket::pair().map_err(|error| error.to_string())?;
        self.pass_rejoined(pair.0, second.with_epoch(epoch), to_first).map_err(|error| error.to_string())?;
        self.pass_rejoined(pair.1, first.with_epoch(epoch), to_second).map_err(|error| error.to_string())
    }

    fn joined_info(&self, id: NodeId) -> Result<PeerInfo, String> {
        if id.is_master() {
            return Ok(own_info());
        }
        let member = self.get(id).filter(|member| understands_newer(member));
        member.map(|member| member.info).ok_or_else(|| format!("{id} is not joined"))
    }

    fn pass_rejoined(&mut self, to: NodeId, peer: PeerInfo, stream: OwnedFd) -> io::Result<()> {
        match to.is_master() {
            true => self.peers.join(peer, mesh::transport(stream)?),
            false => self.tell_newer(to, ToNode::Rejoined { peer, stream: stream.into() }),
        }
        Ok(())
    }

    /// The node drains: every process that is joined with it learns of it, and so does each that joins it later.
    pub(super) fn mark_draining(&mut self, id: NodeId) {
        let Some(member) = self.alive.get_mut(&id).filter(|member| !member.info.is_draining()) else { return };
        member.info.drains();
        self.peers.drains(id);
        let others = self.alive.keys().filter(|other| **other != id);
        others.for_each(|other| self.tell_newer(*other, ToNode::PeerDrains { id }));
    }

    /// Nothing of a node is kept but what it has counted, which counts on for its slot.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.launcher.forget(id);
        if let Some(node) = self.view(id) {
            self.template.workload.heard(node, NodeNews::Forgotten);
        }
        let Some(member) = self.alive.remove(&id) else { return };
        if let Some(guard) = &self.guard {
            guard.registry().remove(id);
        }
        let counts = self.template.load.close(member.line);
        self.template.limits.0.clear_gauges_of(member.line);
        self.left_lines.push(member.line);
        if let Some(slot) = member.info.slot() {
            *self.ended.entry(slot).or_default() += counts;
        }
        // Nodes that left the queue because of this one may be needed in it now.
        serve::wake(&self.template.load, self.template.wake_fd.as_fd());
        self.peers.part(id);
        self.forget_pairs(id);
        self.rejoins.forget(id);
        self.links.forget(id);
        self.tell_gateway(ToNode::Gone { id });
        for other in self.alive.values().filter(|member| member.is_welcome()) {
            self.deliver(other, ToNode::Gone { id });
        }
    }

    pub(super) fn tell(&self, id: NodeId, message: ToNode) {
        if let Some(member) = self.alive.get(&id) {
            self.deliver(member, message);
        }
    }

    /// Tells a node what nodes understand since version 2 of the protocol.
    pub(super) fn tell_newer(&self, id: NodeId, message: ToNode) {
        if self.alive.get(&id).is_some_and(understands_newer) {
            self.tell(id, message);
        }
    }

    /// Gives the certificates and keys of tickets that are in force now to all nodes that take them.
    pub(super) fn pass_tls(&self) {
        let Some(state) = self.template.tls.view.borrow().state.clone() else { return };
        let takes = |member: &&Member| member.is_welcome() && has_capability(&member.capabilities, control::TLS);
        for member in self.alive.values().filter(takes) {
            self.deliver(member, ToNode::Tls(state.clone()));
        }
    }

    pub(super) fn deliver(&self, member: &Member, message: ToNode) {
        let Err(why) = member.tell(message) else { return };
        // It becomes an event like others: the caller may be in the middle of the actions of the rules.
        if self.events.try_send((member.info.id(), NodeEvent::Broke(why))).is_err() {
            crate::log::warn!(id = %member.info.id(), "the node does not read its control socket");
        }
    }
}

/// Whether the node speaks version 2 of the protocol.
fn understands_newer(member: &Member) -> bool {
    member.version.is_some_and(|version| version >= 2)
}

pub(super) fn own_info() -> PeerInfo {
    PeerInfo::new(NodeId::MASTER, None, std::process::id())
}
