//! Random histories: a lease has one holder at most, and none is forgotten.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PROCESSES: u64 = 5;

#[derive(Clone, Debug)]
enum Step {
    Seeks { process: u64, name: usize, ticket: u64 },
    Returns { process: u64, ticket: u64 },
    Becomes { process: u64, standing: Standing },
}

fn step() -> impl Strategy<Value = Step> {
    let process = || 1..=PROCESSES;
    let standing = prop_oneof![
        4 => (0..3_u32).prop_map(|generation| Standing::Serves(Generation(generation))),
        1 => Just(Standing::Waits),
        2 => Just(Standing::Leaves),
        2 => Just(Standing::Gone),
    ];
    prop_oneof![
        4 => (process(), 0..2_usize, 0..4_u64).prop_map(|(process, name, ticket)| Step::Seeks { process, name, ticket }),
        3 => (process(), 0..4_u64).prop_map(|(process, ticket)| Step::Returns { process, ticket }),
        3 => (process(), standing).prop_map(|(process, standing)| Step::Becomes { process, standing }),
    ]
}

proptest! {
    #[test]
    fn a_lease_passes_on_only_after_it_was_returned_or_its_process_reaped(steps in prop::collection::vec(step(), 1..80)) {
        let (mut leases, mut names) = (Leases::default(), BTreeMap::new());
        let mut standing = BTreeMap::<u64, Standing>::new();
        // By name, as processes know it.
        let mut holders = BTreeMap::<usize, Claim>::new();
        for step in steps {
            match step {
                Step::Seeks { process, name, ticket } => {
                    let claim = Claim { id: NodeId::node(process), ticket };
                    // A ticket is used once.
                    if standing.get(&process).is_some_and(|is| *is != Standing::Gone) && !names.contains_key(&(process, ticket)) {
                        names.insert((process, ticket), name);
                        leases.seek(["cron", "mail"][name], claim).expect("few");
                    }
                }
                Step::Returns { process, ticket } => {
                    let claim = Claim { id: NodeId::node(process), ticket };
                    names.remove(&(process, ticket));
                    leases.give_back(claim);
                    holders.retain(|_, holder| *holder != claim);
                }
                Step::Becomes { process, standing: becomes } => {
                    standing.insert(process, becomes);
                    if becomes == Standing::Gone {
                        names.retain(|(of, _), _| *of != process);
                        holders.retain(|_, holder| holder.id.number() != process);
                    }
                }
            }
            let stands = |id: NodeId| standing.get(&id.number()).copied().unwrap_or(Standing::Gone);
            for granted in leases.settle(stands) {
                let name = names[&(granted.id.number(), granted.ticket)];
                prop_assert!(matches!(stands(granted.id), Standing::Serves(_)), "{granted:?} does not serve");
                prop_assert_eq!(holders.insert(name, granted), None, "two at once");
            }
            // Nobody who serves waits for a lease that nobody holds.
            let held: Vec<Claim> = leases.0.values().filter_map(|lease| lease.holder).collect();
            prop_assert_eq!(&held.len(), &holders.len());
            for lease in leases.0.values().filter(|lease| lease.holder.is_none()) {
                prop_assert!(lease.waiting.iter().all(|claim| stands(claim.id) == Standing::Waits));
            }
        }
    }
}
