//! Which machines there are, and what runs on them. A machine that is silent is lost: that is a suspicion, and it may come back.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use multi_node_fleet::machines::{Machine, MachineFleet, MachineKey, Machines};

use crate::frame::digest;

/// At this tick after a machine was heard for the last time it is lost: with a tick each 2 s, 6 s to 8 s later.
const LOST: u16 = 4;

/// At this tick it is forgotten: after half an hour.
const FORGOTTEN: u16 = 900;

/// Of how many other machines, and processes of them all, something is remembered. There is no room for more.
const MOST_MACHINES: usize = 1024;
const MOST_PROCESSES: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Presence {
    machines: Machines,
    /// How many ticks ago each was heard.
    silent: BTreeMap<MachineKey, u16>,
}

impl Presence {
    /// What is known. Clones are cheap.
    pub(super) fn machines(&self) -> &Machines {
        &self.machines
    }

    /// How many machines are there.
    pub(super) fn reachable(&self) -> usize {
        self.machines.others.values().filter(|machine| machine.reachable).count()
    }

    /// The gateway before has known these. They have the usual time to be heard.
    pub(super) fn inherit(&mut self, machines: Vec<Machine>) {
        for machine in machines {
            if !self.silent.contains_key(&machine.key()) && self.has_room(&machine.key(), &machine.fleet) {
                self.silent.insert(machine.key(), if machine.reachable { 0 } else { LOST });
                self.put(machine);
            }
        }
    }

    /// A machine has said what runs on it. False if there is no room.
    pub(super) fn fleet(&mut self, key: &MachineKey, fleet: MachineFleet) -> bool {
        if !self.has_room(key, &fleet) {
            return false;
        }
        self.silent.insert(key.clone(), 0);
        let machine = Machine::new(key.0.clone(), key.1, fleet);
        if self.machines.others.get(key).is_none_or(|known| **known != machine) {
            self.put(machine);
            self.forget_starts_before(key);
        }
        true
    }

    /// A machine has said that what runs on it has this digest. False if something else is known.
    pub(super) fn alive(&mut self, key: &MachineKey, runs: u64) -> bool {
        let known = self.machines.others.get(key).filter(|machine| digest(&machine.fleet) == runs).cloned();
        match known {
            Some(machine) => self.fleet(key, machine.fleet.clone()),
            None => {
                // It lives, whatever runs there. One that was lost stays so until that is known.
                self.silent.entry(key.clone()).and_modify(|ticks| *ticks = if *ticks < LOST { 0 } else { LOST });
                false
            }
        }
    }

    /// A machine has taken leave.
    pub(super) fn leaves(&mut self, key: &MachineKey) {
        if self.silent.remove(key).is_some() {
            Arc::make_mut(&mut self.machines.others).remove(key);
        }
    }

    /// Time passes.
    pub(super) fn tick(&mut self) {
        self.silent.values_mut().for_each(|ticks| *ticks += 1);
        let at = |ticks: u16| self.silent.iter().filter(move |(_, now)| **now == ticks).map(|(key, _)| key.clone());
        let (lost, forgotten): (Vec<_>, Vec<_>) = (at(LOST).collect(), at(FORGOTTEN).collect());
        forgotten.iter().for_each(|key| self.leaves(key));
        for key in lost {
            self.lose(&key);
        }
    }

    fn lose(&mut self, key: &MachineKey) {
        let Some(machine) = self.machines.others.get(key).filter(|machine| machine.reachable) else { return };
        let mut machine = Machine::clone(machine);
        machine.reachable = false;
        self.put(machine);
        let later = self.machines.others.values().find(|other| other.name == key.0 && other.reachable);
        if later.is_some() {
            self.leaves(key);
        }
    }

    /// The machine has started again since.
    fn forget_starts_before(&mut self, key: &MachineKey) {
        let before = self.machines.others.values().filter(|other| other.name == key.0 && !other.reachable);
        let before: Vec<MachineKey> = before.map(|machine| machine.key()).collect();
        before.iter().for_each(|key| self.leaves(key));
    }

    fn put(&mut self, machine: Machine) {
        Arc::make_mut(&mut self.machines.others).insert(machine.key(), Arc::new(machine));
    }

    fn has_room(&self, key: &MachineKey, fleet: &MachineFleet) -> bool {
        let others = self.machines.others.iter().filter(|(other, _)| *other != key);
        let (mut machines, mut processes) = (1, fleet.processes.len());
        for (_, other) in others {
            machines += 1;
            processes += other.fleet.processes.len();
        }
        machines <= MOST_MACHINES && processes <= MOST_PROCESSES
    }
}
