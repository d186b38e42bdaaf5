use super::super::world::{KILLED, World, policy};
use super::super::{Action, Event};
use crate::id::NodeId;
use crate::leases::Claim;

fn claim(n: u64) -> Claim {
    Claim { id: NodeId::node(n), ticket: 1 }
}

impl World {
    fn seeks(&mut self, n: u64) {
        self.on(Event::SeeksLease { name: String::from("cron"), claim: claim(n) });
    }

    fn returns(&mut self, n: u64) {
        self.on(Event::ReturnsLease(claim(n)));
    }

    /// Who was granted the lease since this was asked last.
    fn leaders(&mut self) -> Vec<u64> {
        let granted = self.done.iter().filter_map(|action| match action {
            Action::GrantLease(claim) => Some(claim.id.number()),
            _ => None,
        });
        let granted = granted.collect();
        self.done.clear();
        granted
    }
}

#[test]
fn a_lease_passes_on_when_its_holder_has_been_reaped() {
    let mut world = World::serving(policy(2));
    world.seeks(1);
    world.seeks(2);
    assert_eq!(world.leaders(), [1]);
    world.exit(1, KILLED);
    assert_eq!(world.leaders(), [2]);
}

#[test]
fn in_a_reload_a_lease_passes_to_the_new_program_also_if_that_asks_late() {
    let mut world = World::serving(policy(2));
    world.seeks(1);
    world.seeks(2);
    world.reload();
    world.up(3);
    assert_eq!((world.drained(), world.leaders()), (vec![1], vec![1]));
    world.returns(1);
    assert_eq!(world.leaders(), [], "the node in the other slot is about to be replaced");
    world.seeks(3);
    assert_eq!(world.leaders(), [3]);
}
