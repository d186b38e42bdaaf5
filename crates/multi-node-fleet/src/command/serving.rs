//! Who serves after a command has failed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Generation;

/// Who serves after a command has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Serving {
    /// How many slots have a node that serves.
    pub nodes: usize,
    /// The generation that each slot runs.
    pub generations: Vec<Generation>,
}

/// `3 of 3 old nodes serve`, or where only some slots were replaced, which release each of them runs.
impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Serving { nodes, generations } = self;
        let mut slots = BTreeMap::<Generation, Vec<String>>::new();
        for (slot, generation) in generations.iter().enumerate() {
            slots.entry(*generation).or_default().push(slot.to_string());
        }
        if slots.len() < 2 {
            return write!(f, "{nodes} of {} old nodes serve", generations.len());
        }
        write!(f, "{nodes} of {} slots serve", generations.len())?;
        for (index, (generation, slots)) in slots.iter().rev().enumerate() {
            let (separator, plural) = (if index == 0 { ": " } else { ", " }, if slots.len() == 1 { "" } else { "s" });
            write!(f, "{separator}generation {generation} in slot{plural} {}", slots.join(" "))?;
        }
        f.write_str("; replaced slots cannot be taken back")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_many_serve_and_what_each_slot_runs() {
        let serving = |nodes, generations: &[u32]| {
            Serving { nodes, generations: generations.iter().copied().map(Generation).collect() }.to_string()
        };
        assert_eq!(serving(3, &[0, 0, 0]), "3 of 3 old nodes serve");
        let mixed = "3 of 3 slots serve: generation 2 in slots 0 1, generation 1 in slot 2; replaced slots cannot be taken back";
        assert_eq!(serving(3, &[2, 2, 1]), mixed);
    }
}
