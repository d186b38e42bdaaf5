//! The gateway to other machines, as the master sees it: one process beside the nodes, which takes part in the bus and in nothing else.

mod attend;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::fleet::Backoff;
use super::member::Member;
use super::members::Members;
use super::plan::GatewayPlan;
use crate::control::{self, ToNode};
use crate::id::{Generation, NodeId};
use crate::machines::{MachineChanges, MachineFleet};
use crate::status::{GatewayStatus, Status};
use attend::{Ack, Attendant, Program};

/// How much may wait for the loop. The gateway says little.
const EVENTS: usize = 64;

/// How long the gateway has to end at the end of the program.
const LEAVE: Duration = Duration::from_secs(2);

/// What happens to the gateway.
#[derive(Debug)]
pub(super) enum GatewayEvent {
    /// It has said hello. By this it gets messages.
    Up(mpsc::Sender<ToNode>),
    /// It runs, and this is how it is.
    Is(GatewayStatus),
    /// It has come to know something of other machines.
    Knows(MachineChanges),
    /// It wants a link to another process.
    Wants { peer: NodeId, broken_epoch: u64 },
    /// It has ended; why, if it should not have.
    Down(Option<String>),
}

/// The gateway, if the program joins other machines.
#[derive(Debug)]
pub(super) struct Gateway {
    events: mpsc::Receiver<GatewayEvent>,
    /// What it runs; `None` ends it.
    program: watch::Sender<Option<Program>>,
    task: JoinHandle<()>,
    /// The way to it, while it is there.
    up: Option<mpsc::Sender<ToNode>>,
    pub(super) status: GatewayStatus,
    /// What it knows of this machine's processes.
    fleet: MachineFleet,
}

impl Gateway {
    /// `outbox`: how many messages may wait for it.
    fn start(program: Program, ack: Ack, backoff: Backoff, outbox: usize) -> Gateway {
        let (sender, events) = mpsc::channel(EVENTS);
        let (program, programs) = watch::channel(Some(program));
        let task = tokio::spawn(Attendant { programs, events: sender, ack, backoff, outbox }.attend());
        let (status, fleet) = (GatewayStatus::default(), MachineFleet::default());
        Gateway { events, program, task, up: None, status, fleet }
    }
}

/// What happens next to the gateway, if there is one. Cancel-safe.
pub(super) async fn next(gateway: &mut Option<Gateway>) -> GatewayEvent {
    let event = match gateway {
        Some(gateway) => gateway.events.recv().await,
        None => None,
    };
    match event {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

impl Members {
    /// The program joins other machines by this gateway.
    pub(super) fn plan_gateway(&mut self, plan: Option<GatewayPlan>) {
        let epoch = u64::from(RandomState::new().hash_one("epoch") as u32);
        self.machines.own = plan.as_ref().map(|plan| (plan.machine.clone(), epoch));
        self.gateway_plan = plan;
    }

    /// Has the gateway be that of this generation, or of the newest.
    pub(super) fn run_gateway(&mut self, generation: Option<Generation>) {
        let (Some((_, epoch)), Some(plan)) = (&self.machines.own, &self.gateway_plan) else { return };
        let generation = generation.or_else(|| self.launcher.newest()).unwrap_or_default();
        let program = match self.gateway_program(generation, plan) {
            Ok(program) => program,
            Err(error) => return crate::log::error!(%error, "cannot start the gateway to other machines"),
        };
        let ack = Ack { epoch: *epoch, settings: plan.settings.clone() };
        match &self.gateway {
            Some(gateway) => drop(gateway.program.send_replace(Some(program))),
            None => self.gateway = Some(Gateway::start(program, ack, self.backoff, self.outbox)),
        }
    }

    fn gateway_program(&self, generation: Generation, plan: &GatewayPlan) -> io::Result<Program> {
        let launcher = self.launcher.alone(generation)?;
        let launcher = match &plan.program {
            Some((program, args)) => launcher.running(program, args)?,
            None => launcher,
        };
        Ok(Program::new(launcher, generation))
    }

    /// Ends the gateway, and tells all.
    pub(super) async fn stop_gateway(&mut self) {
        let Some(mut gateway) = self.gateway.take() else { return };
        gateway.program.send_replace(None);
        gateway.events.close();
        // It ends the process before it ends.
        let _ = tokio::time::timeout(LEAVE, &mut gateway.task).await;
        if gateway.up.is_some() {
            self.gateway_is_gone();
        }
    }

    /// Deals with it.
    pub(super) fn gateway_did(&mut self, event: GatewayEvent) {
        match event {
            GatewayEvent::Up(outbox) => self.gateway_is_here(outbox),
            GatewayEvent::Is(status) => self.gateway_is(status),
            GatewayEvent::Knows(changes) => {
                self.links.remember(&changes.changed);
                self.machines.apply(MachineChanges { own: None, ..changes });
            }
            GatewayEvent::Wants { peer, broken_epoch } => self.open_link(NodeId::GATEWAY, peer, broken_epoch),
            GatewayEvent::Down(error) => {
                let mut status = GatewayStatus::default();
                status.error = error;
                self.gateway_is(status);
                if self.gateway.as_mut().is_some_and(|gateway| gateway.up.take().is_some()) {
                    self.gateway_is_gone();
                }
            }
        }
    }

    fn gateway_is(&mut self, status: GatewayStatus) {
        if let Some(gateway) = &mut self.gateway {
            gateway.status = status;
        }
    }

    fn gateway_is_here(&mut self, outbox: mpsc::Sender<ToNode>) {
        let Some(gateway) = &mut self.gateway else { return };
        (gateway.up, gateway.fleet) = (Some(outbox), MachineFleet::default());
        // What the one before has known comes first, so that a machine that is lost meanwhile is missed.
        self.tell_gateway(ToNode::Machines(self.machines.anew()));
        self.links.gateway_joined();
        self.tell_gateway(ToNode::BusPeer { id: NodeId::MASTER, slot: None });
        let nodes: Vec<NodeId> =
            self.alive.values().filter(|member| meets(member)).map(|member| member.info.id()).collect();
        nodes.into_iter().for_each(|id| self.introduce_gateway(id));
        self.tell_gateway(ToNode::AllJoined);
    }

    /// Has the gateway tell other machines of this one's processes, if something has changed.
    pub(super) fn tell_fleet(&mut self, status: &Status) {
        let Some(gateway) = self.gateway.as_mut().filter(|gateway| gateway.up.is_some()) else { return };
        let fleet = MachineFleet::of(status, std::process::id());
        if gateway.fleet != fleet {
            gateway.fleet.clone_from(&fleet);
            self.tell_gateway(ToNode::Fleet(fleet));
        }
    }

    fn gateway_is_gone(&mut self) {
        self.links.gateway_gone();
        for member in self.alive.values().filter(|member| meets(member)) {
            self.deliver(member, ToNode::Gone { id: NodeId::GATEWAY });
        }
    }

    /// Names the node and the gateway to each other, if both are there.
    pub(super) fn introduce_gateway(&self, id: NodeId) {
        let Some(node) = self.get(id).filter(|member| meets(member)) else { return };
        if self.has_gateway_up() {
            self.tell_gateway(ToNode::BusPeer { id, slot: node.info.slot() });
            self.deliver(node, ToNode::BusPeer { id: NodeId::GATEWAY, slot: None });
        }
    }

    pub(super) fn has_gateway_up(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| gateway.up.is_some())
    }

    /// A gateway that does not read is ended by the attendant, which misses its beats too.
    pub(super) fn tell_gateway(&self, message: ToNode) {
        let up = self.gateway.as_ref().and_then(|gateway| gateway.up.as_ref());
        if up.is_some_and(|outbox| outbox.try_send(message).is_err()) {
            crate::log::warn!("the gateway to other machines does not read its control socket");
        }
    }
}

/// Whether the node takes part in the bus and knows of gateways.
pub(super) fn meets(member: &Member) -> bool {
    member.is_welcome() && member.speaks_bus() && control::has_capability(&member.capabilities, control::GATEWAY)
}
