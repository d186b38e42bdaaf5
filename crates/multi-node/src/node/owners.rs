//! Who answers the requests of each slot, as this node sees the program.

use crate::handoff::Links;
use crate::id::NodeId;
use crate::serve::Owner;
use multi_node_fleet::status::{State, Status};

/// The owner of each slot: its newest node that serves. A slot without one has no owner until there is one again.
pub(super) fn of_slots(status: &Status, own: NodeId, links: &Links) -> Vec<Owner> {
    let mut owners = vec![Owner::Missing; status.wanted];
    // Of a slot's nodes the newest comes first, so it is the last here.
    for slot in status.slots.iter().rev().filter(|slot| slot.state == State::Serving) {
        let (Some(owner), Some(id)) = (owners.get_mut(slot.slot.index()), slot.id) else { continue };
        *owner = match id == own {
            true => Owner::This,
            false => links.mover(id).map_or(Owner::Missing, Owner::Other),
        };
    }
    owners
}
