//! The end of each history: a world that means well.

use super::super::super::{Filled, FleetPhase, SlotRecord};
use super::{Audit, Word};
use crate::status::{Exit, State};

impl Audit {
    /// A world that means well brings the fleet to rest: it is over, or every slot serves that is to.
    pub(in crate::fleet::proptests) fn comes_to_rest(&mut self) {
        for _ in 0..1000 {
            if self.rests() {
                assert!(self.answers.values().all(|&answers| answers == 1), "{:?}", self.answers);
                assert_eq!(self.alive.len(), self.fleet.nodes.len(), "processes that nobody knows of");
                return;
            }
            self.mean_well();
        }
        panic!("the fleet does not come to rest: {:#?}", self.fleet);
    }

    pub(in crate::fleet::proptests) fn is_over(&self) {
        assert!(matches!(self.fleet.course, FleetPhase::Over) && self.finished == 1);
        assert_eq!(self.fleet.next_deadline(), None);
        assert_eq!(self.forgotten.len() as u64, self.fleet.started, "each node is forgotten");
    }

    fn mean_well(&mut self) {
        let seen = self.seen.len();
        self.answer_look();
        while !(self.resolving.is_empty()
            && self.rehearsing.is_empty()
            && self.spawning.is_empty()
            && self.examining.is_empty())
        {
            self.answer_resolve(Ok(()));
            self.answer_preflight(Ok(()));
            self.answer_spawn(Ok(()));
            self.answer_examine(true);
        }
        let nodes: Vec<_> = self.fleet.nodes.iter().map(|(&id, node)| (id, node.state, node.cause.is_some())).collect();
        for (id, state, failed) in nodes {
            match state {
                State::Starting | State::Initializing if failed => self.node_says(id, Word::Exits(Exit::Code(1))),
                State::Starting => self.node_says(id, Word::ComesUp),
                State::Initializing => self.node_says(id, Word::Ready),
                State::Draining => self.node_says(id, Word::Exits(Exit::Code(0))),
                State::Killing if self.signalled.contains(&id) => self.node_says(id, Word::Exits(Exit::Signal(9))),
                _ => self.node_says(id, Word::Beat),
            }
        }
        if self.seen.len() == seen {
            self.due();
        }
    }

    fn rests(&self) -> bool {
        let serves = |id| self.fleet.nodes.get(&id).is_some_and(|node| node.state == State::Serving);
        let filled = self.fleet.slots.iter().all(|slot| match slot.filled {
            Filled::By(id) => serves(id),
            Filled::Empty => !self.fleet.policy.restart,
            Filled::BackingOff { .. } | Filled::Failed => false,
        });
        let holders = self.fleet.slots.iter().filter_map(SlotRecord::holder).count();
        let running = matches!(self.fleet.course, FleetPhase::Running) && filled && self.fleet.nodes.len() == holders;
        let idle = self.fleet.command.is_none() && self.fleet.draining.is_empty() && self.fleet.next.is_none();
        (running && idle) || matches!(self.fleet.course, FleetPhase::Over)
    }
}
