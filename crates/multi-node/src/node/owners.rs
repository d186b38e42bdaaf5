//! Who answers the requests of each slot, as this node sees the program.

use std::collections::BTreeMap;

use crate::handoff::Links;
use crate::id::{NodeId, Slot};
use crate::serve::Owner;
use multi_node_fleet::status::{State, Status};

/// The newest node of each slot that the master has named. A status that shows it may come later.
#[derive(Debug, Default)]
pub(super) struct Named(BTreeMap<Slot, NodeId>);

impl Named {
    pub(super) fn add(&mut self, id: NodeId, slot: Slot) {
        self.0.insert(slot, id);
    }

    /// From here on the status tells of those that it shows: in the next states of a node it does not serve any more.
    pub(super) fn leave_to(&mut self, status: &Status) {
        let is_shown = |id| status.slots.iter().any(|slot| slot.id == Some(id) && !is_coming_up(slot.state));
        self.0.retain(|_, named| !is_shown(*named));
    }

    /// The node drains or has ended.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.0.retain(|_, named| *named != id);
    }

    pub(super) fn has(&self, id: NodeId) -> bool {
        self.0.values().any(|named| *named == id)
    }
}

/// The owner of each slot: its newest node that serves. A slot without one has no owner until there is one again.
pub(super) fn of_slots(status: &Status, named: &Named, own: NodeId, links: &Links) -> Vec<Owner> {
    let owner = |id| match id == own {
        true => Owner::This,
        false => links.mover(id).map_or(Owner::Missing, Owner::Other),
    };
    ids_of_slots(status, named).into_iter().map(|id| id.map_or(Owner::Missing, owner)).collect()
}

fn ids_of_slots(status: &Status, Named(named): &Named) -> Vec<Option<NodeId>> {
    let mut ids = vec![None; status.wanted];
    // Of a slot's nodes the newest comes first, so it is the last here.
    let serving = status.slots.iter().rev().filter(|slot| slot.state == State::Serving);
    let shown = serving.filter_map(|slot| Some((slot.slot, slot.id?)));
    for (slot, id) in shown.chain(named.iter().map(|(slot, id)| (*slot, *id))) {
        if let Some(newest) = ids.get_mut(slot.index()) {
            *newest = Some(id);
        }
    }
    ids
}

fn is_coming_up(state: State) -> bool {
    matches!(state, State::Starting | State::Initializing)
}

/// Whether the status shows that this node serves.
pub(super) fn serves(status: &Status, id: NodeId) -> bool {
    status.slots.iter().any(|slot| slot.id == Some(id) && slot.state == State::Serving)
}

#[cfg(test)]
mod tests {
    use super::*;
    use multi_node_fleet::status::SlotStatus;
    use std::time::SystemTime;

    fn entry(slot: u16, id: u64, state: State) -> SlotStatus {
        let mut entry = SlotStatus::new(Slot(slot), state, SystemTime::UNIX_EPOCH);
        entry.id = Some(NodeId::node(id));
        entry
    }

    fn status(slots: Vec<SlotStatus>) -> Status {
        let mut status = Status::default();
        (status.wanted, status.slots) = (2, slots);
        status
    }

    #[test]
    fn a_node_owns_its_slot_as_soon_as_it_is_named() {
        let ids =
            |status: &Status, named: &Named| ids_of_slots(status, named).into_iter().map(|id| id.map(NodeId::number));
        let before =
            status(vec![entry(0, 3, State::Initializing), entry(0, 1, State::Serving), entry(1, 2, State::Serving)]);
        let mut named = Named::default();
        assert!(ids(&before, &named).eq([Some(1), Some(2)]));
        named.add(NodeId::node(3), Slot(0));
        named.leave_to(&before);
        assert!(ids(&before, &named).eq([Some(3), Some(2)]), "the status was made before");
        let after =
            status(vec![entry(0, 3, State::Serving), entry(0, 1, State::Draining), entry(1, 2, State::Serving)]);
        named.leave_to(&after);
        assert!(!named.has(NodeId::node(3)) && serves(&after, NodeId::node(3)));
        assert!(ids(&after, &named).eq([Some(3), Some(2)]));
        let over = status(vec![entry(0, 3, State::Killing), entry(1, 2, State::Serving)]);
        assert!(ids(&over, &named).eq([None, Some(2)]));
    }

    #[test]
    fn a_node_that_drains_owns_nothing_whatever_it_was_named_for() {
        let mut named = Named::default();
        named.add(NodeId::node(3), Slot(0));
        named.forget(NodeId::node(3));
        assert_eq!(ids_of_slots(&status(Vec::new()), &named), [None, None]);
    }
}
