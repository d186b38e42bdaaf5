//! The machines of a cluster and their processes, as one of them knows them. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Generation, NodeId, Slot};
use crate::status::{State, Status};

/// A machine of the cluster: one start of its program. A start after that is another machine with the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Another number for each start of its program, and for each upgrade.
    pub epoch: u64,
    /// Whether its gateway was heard in the last seconds. If not, the rest is what was true before.
    pub reachable: bool,
    /// Its processes.
    pub fleet: MachineFleet,
}

/// The processes of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MachineFleet {
    /// How many slots are meant to serve.
    pub wanted: usize,
    /// The processes that live, the master first.
    pub processes: Vec<MachineProcess>,
}

/// A process of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MachineProcess {
    /// Who it is on its machine: `master`, `node-7`.
    pub id: NodeId,
    /// Its slot; `None` for the master.
    pub slot: Option<Slot>,
    /// The process's number on its machine.
    pub pid: u32,
    /// What it is doing.
    pub state: State,
    /// The generation it was started for.
    pub generation: Generation,
}

impl MachineProcess {
    #[doc(hidden)]
    pub fn new(id: NodeId, slot: Option<Slot>, pid: u32, state: State, generation: Generation) -> MachineProcess {
        MachineProcess { id, slot, pid, state, generation }
    }

    /// Whether it takes part in what the program does: it serves, or finishes what it has.
    pub fn takes_part(&self) -> bool {
        matches!(self.state, State::Serving | State::Draining)
    }
}

impl MachineFleet {
    #[doc(hidden)]
    pub fn new(wanted: usize, processes: Vec<MachineProcess>) -> MachineFleet {
        MachineFleet { wanted, processes }
    }

    /// That of this status, with its master, which has this process id.
    pub fn of(status: &Status, master: u32) -> MachineFleet {
        let first = MachineProcess::new(NodeId::MASTER, None, master, State::Serving, Generation::default());
        let nodes = status.slots.iter().filter(|slot| !matches!(slot.state, State::Exited)).filter_map(|slot| {
            Some(MachineProcess::new(slot.id?, Some(slot.slot), slot.pid?, slot.state, slot.generation))
        });
        MachineFleet { wanted: status.wanted, processes: std::iter::once(first).chain(nodes).collect() }
    }

    /// How many slots have a process that serves.
    pub fn serving(&self) -> usize {
        self.processes.iter().filter(|process| process.slot.is_some() && process.state == State::Serving).count()
    }
}

impl Machine {
    #[doc(hidden)]
    pub fn new(name: impl Into<String>, epoch: u64, fleet: MachineFleet) -> Machine {
        Machine { name: name.into(), epoch, reachable: true, fleet }
    }

    /// What tells it from others.
    pub fn key(&self) -> MachineKey {
        (self.name.clone(), self.epoch)
    }
}

/// A machine's name and epoch.
pub type MachineKey = (String, u64);

/// Machines. Clones share what they know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Machines {
    /// This machine, if it is joined to others.
    pub own: Option<MachineKey>,
    /// The others.
    pub others: Arc<BTreeMap<MachineKey, Arc<Machine>>>,
}

/// What has changed of [`Machines`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineChanges {
    /// This machine.
    #[serde(default)]
    pub own: Option<MachineKey>,
    /// Nothing that was said before counts.
    #[serde(default)]
    pub anew: bool,
    /// These are so now.
    #[serde(default)]
    pub changed: Vec<Machine>,
    /// These are no longer known.
    #[serde(default)]
    pub gone: Vec<MachineKey>,
}

impl Machines {
    /// By what who knew `before` comes to know this; `None`: there is nothing to say.
    pub fn since(&self, before: &Machines) -> Option<MachineChanges> {
        if self.own == before.own && Arc::ptr_eq(&self.others, &before.others) {
            return None;
        }
        let is_known = |key: &MachineKey, machine: &Arc<Machine>| before.others.get(key) == Some(machine);
        let changed = self.others.iter().filter(|(key, machine)| !is_known(key, machine));
        let changes = MachineChanges {
            own: self.own.clone(),
            anew: false,
            changed: changed.map(|(_, machine)| Machine::clone(machine)).collect(),
            gone: before.others.keys().filter(|key| !self.others.contains_key(*key)).cloned().collect(),
        };
        let same = self.own == before.own && changes.changed.is_empty() && changes.gone.is_empty();
        (!same).then_some(changes)
    }

    /// All of it, for who knows nothing, or something old.
    pub fn anew(&self) -> MachineChanges {
        let changed = self.others.values().map(|machine| Machine::clone(machine)).collect();
        MachineChanges { own: self.own.clone(), anew: true, changed, gone: Vec::new() }
    }

    /// These things have changed.
    pub fn apply(&mut self, changes: MachineChanges) {
        let MachineChanges { own, anew, changed, gone } = changes;
        self.own = own.or(self.own.take());
        let others = Arc::make_mut(&mut self.others);
        if anew {
            others.clear();
        }
        gone.iter().for_each(|key| drop(others.remove(key)));
        others.extend(changed.into_iter().map(|machine| (machine.key(), Arc::new(machine))));
    }
}
