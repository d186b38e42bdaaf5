use std::collections::BTreeMap;

use super::*;

/// The leases, and the standing of each process.
#[derive(Default)]
struct World {
    leases: Leases,
    standing: BTreeMap<u64, Standing>,
}

fn claim(number: u64) -> Claim {
    Claim { id: NodeId::node(number), ticket: 1 }
}

impl World {
    /// Processes of these generations, which serve.
    fn serving(generations: &[u32]) -> World {
        let standing = (1..).zip(generations).map(|(number, generation)| (number, serves(*generation))).collect();
        World { standing, ..World::default() }
    }

    fn becomes(&mut self, number: u64, standing: Standing) -> Vec<u64> {
        self.standing.insert(number, standing);
        self.settle()
    }

    fn seeks(&mut self, number: u64) -> Vec<u64> {
        self.leases.seek("cron", claim(number)).expect("room");
        self.settle()
    }

    fn returns(&mut self, number: u64) -> Vec<u64> {
        self.leases.give_back(claim(number));
        self.settle()
    }

    /// Who has been granted the lease.
    fn settle(&mut self) -> Vec<u64> {
        let standing = |id: NodeId| self.standing.get(&id.number()).copied().unwrap_or(Standing::Gone);
        self.leases.settle(standing).into_iter().map(|claim| claim.id.number()).collect()
    }
}

fn serves(generation: u32) -> Standing {
    Standing::Serves(Generation(generation))
}

#[test]
fn the_first_to_ask_holds_until_it_returns() {
    let mut world = World::serving(&[0, 0, 0]);
    assert_eq!(world.seeks(2), [2]);
    assert_eq!((world.seeks(3), world.seeks(1)), (vec![], vec![]));
    assert_eq!(world.returns(2), [3], "it asked before the other");
    assert_eq!(world.returns(1), [], "it only waited");
    assert_eq!(world.returns(3), []);
    assert_eq!(world.leases, Leases::default(), "nothing is kept of a lease that nobody wants");
}

#[test]
fn a_holder_that_drains_holds_until_it_has_returned() {
    let mut world = World::serving(&[0, 0]);
    assert_eq!((world.seeks(1), world.seeks(2)), (vec![1], vec![]));
    assert_eq!(world.becomes(1, Standing::Leaves), []);
    assert_eq!(world.returns(1), [2]);
}

#[test]
fn a_holder_whose_process_was_reaped_holds_no_longer() {
    let mut world = World::serving(&[0, 0]);
    assert_eq!((world.seeks(1), world.seeks(2)), (vec![1], vec![]));
    assert_eq!(world.becomes(1, Standing::Gone), [2]);
}

#[test]
fn a_process_that_drains_is_granted_nothing() {
    let mut world = World::serving(&[0, 0]);
    assert_eq!((world.seeks(1), world.seeks(2)), (vec![1], vec![]));
    assert_eq!(world.becomes(2, Standing::Leaves), []);
    assert_eq!(world.returns(1), []);
    assert_eq!(world.becomes(2, serves(0)), [], "it has to ask again");
}

#[test]
fn new_code_is_preferred_once_it_serves() {
    let mut world = World::serving(&[0, 0, 0]);
    assert_eq!((world.seeks(1), world.seeks(2)), (vec![1], vec![]));
    world.becomes(3, Standing::Waits);
    assert_eq!((world.seeks(3), world.returns(1)), (vec![], vec![2]), "the newest does not serve yet");
    world.becomes(3, serves(1));
    assert_eq!((world.seeks(1), world.returns(2)), (vec![], vec![3]), "it asked before");
    assert_eq!((world.seeks(2), world.returns(3)), (vec![], vec![1]), "the first of one generation");
}

#[test]
fn a_first_process_waits_until_it_serves() {
    let mut world = World::default();
    world.becomes(1, Standing::Waits);
    assert_eq!(world.seeks(1), []);
    assert_eq!(world.becomes(1, serves(0)), [1]);
}

#[test]
fn asking_again_changes_nothing() {
    let mut world = World::serving(&[0, 0]);
    assert_eq!((world.seeks(1), world.seeks(2)), (vec![1], vec![]));
    assert_eq!((world.seeks(1), world.seeks(2)), (vec![], vec![]));
    assert_eq!((world.returns(1), world.returns(2)), (vec![2], vec![]));
}

#[test]
fn leases_of_other_names_are_held_beside_each_other() {
    let mut leases = Leases::default();
    let claims = [1, 2].map(|ticket| Claim { id: NodeId::node(1), ticket });
    leases.seek("cron", claims[0]).expect("room");
    leases.seek("mail", claims[1]).expect("room");
    assert_eq!(leases.settle(|_| serves(0)), claims);
}

#[test]
fn names_and_their_number_are_bounded() {
    let mut leases = Leases::default();
    for name in ["", &"x".repeat(LONGEST_LEASE_NAME + 1)] {
        assert_eq!(leases.seek(name, claim(1)), Err(LeaseRefused::Name));
    }
    for ticket in 0..MOST_LEASES as u64 {
        leases.seek(&format!("cron-{ticket}"), Claim { id: NodeId::node(1), ticket }).expect("room");
    }
    let further = Claim { id: NodeId::node(1), ticket: 64 };
    assert_eq!(leases.seek("mail", further), Err(LeaseRefused::TooMany));
    assert_eq!(leases.seek("cron-0", Claim { ticket: 0, ..further }), Ok(()), "it has that one");
    assert_eq!(leases.seek("mail", claim(2)), Ok(()), "others have their own");
    leases.give_back(Claim { ticket: 0, ..further });
    assert_eq!(leases.seek("mail", further), Ok(()));
}
