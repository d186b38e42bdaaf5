//! Which topics other machines want. What is not repeated is forgotten.

use std::collections::{BTreeMap, BTreeSet};

/// After how many ticks without a word a machine's wish is forgotten.
const FORGOTTEN: u8 = 4;

/// How many wishes are kept of all machines together; more are ignored.
const MOST: usize = 64 << 10;

/// A machine: its name and epoch.
type Machine = (String, u64);

#[derive(Debug, Default)]
pub(super) struct Wants {
    topics: BTreeMap<String, BTreeMap<Machine, u8>>,
    count: usize,
}

impl Wants {
    /// A machine wants the topic. False if there is no room.
    pub(super) fn add(&mut self, topic: &str, machine: Machine) -> bool {
        let wished = self.topics.get_mut(topic).and_then(|machines| machines.get_mut(&machine));
        if let Some(left) = wished {
            *left = FORGOTTEN;
            return true;
        }
        if self.count >= MOST {
            return false;
        }
        self.count += 1;
        self.topics.entry(topic.to_owned()).or_default().insert(machine, FORGOTTEN);
        true
    }

    pub(super) fn remove(&mut self, topic: &str, machine: &Machine) {
        let Some(machines) = self.topics.get_mut(topic) else { return };
        self.count -= usize::from(machines.remove(machine).is_some());
        if machines.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// Time passes.
    pub(super) fn tick(&mut self) {
        for machines in self.topics.values_mut() {
            let before = machines.len();
            machines.retain(|_, left| {
                *left -= 1;
                *left > 0
            });
            self.count -= before - machines.len();
        }
        self.topics.retain(|_, machines| !machines.is_empty());
    }

    /// The topics that some machine wants.
    pub(super) fn topics(&self) -> BTreeSet<&str> {
        self.topics.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_lasts_as_long_as_it_is_repeated_and_there_is_room() {
        let machine = |epoch| ("a".to_owned(), epoch);
        let mut wants = Wants::default();
        assert!(wants.add("x", machine(1)) && wants.add("x", machine(2)) && wants.add("y", machine(1)));
        (0..3).for_each(|_| wants.tick());
        assert!(wants.add("x", machine(1)));
        wants.tick();
        assert_eq!((wants.topics(), wants.count), (BTreeSet::from(["x"]), 1));
        wants.remove("x", &machine(2));
        wants.remove("x", &machine(1));
        assert_eq!((wants.topics(), wants.count), (BTreeSet::new(), 0));
        let room = (0..MOST as u64).all(|epoch| wants.add("x", machine(epoch)));
        assert!(room && !wants.add("x", machine(u64::MAX)) && wants.add("x", machine(0)));
    }
}
