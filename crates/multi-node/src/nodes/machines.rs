//! What a process knows of the processes of other machines.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use multi_node_bus::RemoteProcess;
use tokio::sync::watch;

use super::Handle;
use crate::id::NodeId;
use crate::machines::{Machine, MachineKey, Machines};
use crate::process_links::Snapshot;
use crate::status::Status;

/// A change among the processes of other machines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MachineEvent {
    /// A process serves, and its messages can come. It may be one that had left because its machine was silent.
    Joined(RemoteProcess),
    /// A process has left, and why.
    Left(RemoteProcess, WhyLeft),
}

/// Why a process of another machine has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyLeft {
    /// Its master saw its end. It never comes back.
    Ended,
    /// Its program has ended or was upgraded, and its machine has taken leave. It never comes back.
    MachineLeft,
    /// Its machine, the network or NATS is silent: a suspicion. The same process may join again.
    MachineSilent,
}

impl fmt::Display for WhyLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WhyLeft::Ended => "it has ended",
            WhyLeft::MachineLeft => "its machine has left",
            WhyLeft::MachineSilent => "its machine is silent",
        })
    }
}

impl Handle {
    /// The name of this machine, if it is joined to others by [`Options::join`](crate::Options::join).
    pub fn machine(&self) -> Option<String> {
        self.0.snapshot.borrow().machines.own.as_ref().map(|(name, _)| name.clone())
    }

    /// The other machines that this process knows, by name, with their processes. One that is silent for 8 s is not
    /// [reachable](Machine::reachable), and is forgotten after half an hour.
    pub fn machines(&self) -> Vec<Machine> {
        let machines = self.0.snapshot.borrow().machines.clone();
        machines.others.values().map(|machine| Machine::clone(machine)).collect()
    }

    /// This machine, and how its processes are.
    #[cfg(feature = "admin")]
    pub(crate) fn own_machine(&self) -> (Option<MachineKey>, Status) {
        let snapshot = self.0.snapshot.borrow();
        (snapshot.machines.own.clone(), snapshot.status.clone())
    }

    /// The processes of other machines that serve, and what changes from then on. The end of a process is known within
    /// milliseconds, the loss of a machine after 8 s at most.
    ///
    /// ```no_run
    /// use multi_node::Handle;
    /// use multi_node::status::MachineEvent;
    ///
    /// # async fn f(node: Handle) {
    /// let mut events = node.machine_events();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         MachineEvent::Joined(process) => println!("{process} has joined"),
    ///         MachineEvent::Left(process, why) => println!("{process} has left: {why}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn machine_events(&self) -> MachineEvents {
        let mut snapshot = self.0.snapshot.clone();
        snapshot.mark_changed();
        MachineEvents { handle: self.clone(), snapshot, known: BTreeMap::new(), events: VecDeque::new() }
    }
}

/// Changes among the processes of other machines, those that are there first.
#[derive(Debug)]
pub struct MachineEvents {
    handle: Handle,
    snapshot: watch::Receiver<Snapshot>,
    known: BTreeMap<NodeId, RemoteProcess>,
    events: VecDeque<MachineEvent>,
}

impl MachineEvents {
    /// The next event. `None` once this process's service is over. Cancel-safe; who asks seldom does not see processes that have come and
    /// gone meanwhile.
    pub async fn next(&mut self) -> Option<MachineEvent> {
        while self.events.is_empty() {
            tokio::select! {
                changed = self.snapshot.changed() => changed.ok()?,
                _ = self.handle.closed() => return None,
            }
            let machines = self.snapshot.borrow_and_update().machines.clone();
            self.events.extend(changes(&mut self.known, &machines));
        }
        self.events.pop_front()
    }
}

/// What has changed for who knows these processes, and knows the others from then on.
fn changes(known: &mut BTreeMap<NodeId, RemoteProcess>, machines: &Machines) -> Vec<MachineEvent> {
    let now = taking_part(machines);
    let left = known.iter().filter(|(id, _)| !now.contains_key(id));
    let left = left.map(|(_, process)| MachineEvent::Left(process.clone(), why_left(process, machines)));
    let joined = now.iter().filter(|(id, _)| !known.contains_key(id));
    let events = left.chain(joined.map(|(_, process)| MachineEvent::Joined(process.clone()))).collect();
    *known = now;
    events
}

fn taking_part(machines: &Machines) -> BTreeMap<NodeId, RemoteProcess> {
    let reachable = machines.others.values().filter(|machine| machine.reachable);
    let processes = reachable.flat_map(|machine| {
        let taking_part = machine.fleet.processes.iter().filter(|process| process.takes_part());
        taking_part.map(|process| RemoteProcess::of(machine, process))
    });
    processes.map(|process| (process.id(), process)).collect()
}

fn why_left(process: &RemoteProcess, machines: &Machines) -> WhyLeft {
    let machine = machines.others.get(&(process.machine.clone(), process.epoch));
    match machine.map(|machine| machine.reachable) {
        Some(true) => WhyLeft::Ended,
        Some(false) => WhyLeft::MachineSilent,
        None => WhyLeft::MachineLeft,
    }
}
