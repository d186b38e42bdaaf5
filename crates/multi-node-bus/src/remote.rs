//! Processes of other machines.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use multi_node_fleet::hash::fnv1a;
use multi_node_fleet::id::{NodeId, Slot};
use multi_node_fleet::machines::{Machine, MachineProcess};

/// Of how many processes of other machines something is remembered in one place.
const MOST: usize = 16 << 10;

/// A process of another machine. It shows as `machine/slot#epoch.number`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteProcess {
    /// The machine's name.
    pub machine: String,
    /// Another number for each start of the machine's program.
    pub epoch: u64,
    /// The number of its id there: 7 for `node-7`, 0 for the master.
    pub number: u64,
    /// Its slot; `None` for the master.
    pub slot: Option<Slot>,
}

impl RemoteProcess {
    /// This process of a machine.
    pub fn of(machine: &Machine, process: &MachineProcess) -> RemoteProcess {
        let (name, number) = (machine.name.clone(), process.id.number());
        RemoteProcess { machine: name, epoch: machine.epoch, number, slot: process.slot }
    }

    /// All processes of these machines.
    pub fn all_of(machines: &[Machine]) -> impl Iterator<Item = RemoteProcess> {
        machines
            .iter()
            .flat_map(|machine| machine.fleet.processes.iter().map(|process| RemoteProcess::of(machine, process)))
    }

    /// By what this process calls it. Every process of every machine finds the same id, over restarts of gateways too.
    pub fn id(&self) -> NodeId {
        let numbers = self.epoch.to_le_bytes().into_iter().chain(self.number.to_le_bytes());
        NodeId::remote(fnv1a(numbers.chain(self.machine.bytes())))
    }
}

impl fmt::Display for RemoteProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RemoteProcess { machine, epoch, number, slot } = self;
        match slot {
            Some(slot) => write!(f, "{machine}/{slot}#{epoch:x}.{number}"),
            None => write!(f, "{machine}/master#{epoch:x}.{number}"),
        }
    }
}

/// What is remembered of processes of other machines. Where there is no room, another one is forgotten.
#[derive(Debug)]
pub(crate) struct ByProcess<T>(HashMap<NodeId, T>);

impl<T> Default for ByProcess<T> {
    fn default() -> Self {
        ByProcess(HashMap::new())
    }
}

impl<T> ByProcess<T> {
    /// What is remembered of this process, which begins with `first`.
    pub(crate) fn entry(&mut self, id: NodeId, first: impl FnOnce() -> T) -> &mut T {
        if self.0.len() >= MOST
            && !self.0.contains_key(&id)
            && let Some(other) = self.0.keys().next().copied()
        {
            self.0.remove(&other);
        }
        self.0.entry(id).or_insert_with(first)
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&T> {
        self.0.get(&id)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }
}

/// The processes of other machines that have been named to this one.
#[derive(Debug, Default)]
pub(crate) struct Remotes(Mutex<ByProcess<RemoteProcess>>);

impl Remotes {
    /// Remembers who has this id.
    pub(crate) fn remember(&self, id: NodeId, process: RemoteProcess) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id, || process);
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<RemoteProcess> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(number: u64) -> RemoteProcess {
        RemoteProcess { machine: "alpha".to_owned(), epoch: 0x5f, number, slot: Some(Slot(2)) }
    }

    #[test]
    fn it_shows_its_machine_and_never_the_same_twice() {
        assert_eq!(process(7).to_string(), "alpha/2#5f.7");
        assert_eq!(RemoteProcess { slot: None, ..process(0) }.to_string(), "alpha/master#5f.0");
        assert_eq!(process(7).id().to_string(), "remote-43d178e5a6fb4793");
        assert_ne!(process(7).id(), process(8).id());
        assert_ne!(process(7).id(), RemoteProcess { epoch: 0x60, ..process(7) }.id());
        assert!(process(7).id().is_remote());
    }

    #[test]
    fn a_bounded_number_is_remembered() {
        let remotes = Remotes::default();
        for number in 0..MOST as u64 + 10 {
            remotes.remember(process(number).id(), process(number));
        }
        let last = process(MOST as u64 + 9);
        assert_eq!(remotes.get(last.id()), Some(last));
        assert_eq!(remotes.0.lock().unwrap().values().count(), MOST);
    }
}
