use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::status::SlotStatus;

fn process(number: u64, state: State) -> MachineProcess {
    MachineProcess::new(NodeId::node(number), Some(Slot(0)), 7, state, Generation::default())
}

fn machine(name: &str, epoch: u64, nodes: u64) -> Machine {
    let processes = (1..=nodes).map(|number| process(number, State::Serving)).collect();
    Machine::new(name, epoch, MachineFleet::new(2, processes))
}

#[test]
fn a_fleet_has_its_master_and_the_processes_that_live() {
    let slot = |id, pid, state| {
        let mut slot = SlotStatus::new(Slot(0), state, UNIX_EPOCH);
        (slot.id, slot.pid) = (Some(NodeId::node(id)), pid);
        slot
    };
    let mut status = Status::of_one(slot(3, Some(7), State::Serving));
    status.slots.extend([slot(2, None, State::BackingOff), slot(1, Some(7), State::Exited)]);
    let fleet = MachineFleet::of(&status, 42);
    let [master, node] = fleet.processes[..] else { panic!("{fleet:?}") };
    assert_eq!((master.id, master.slot, master.pid, master.takes_part()), (NodeId::MASTER, None, 42, true));
    assert_eq!(node, process(3, State::Serving));
    assert_eq!((fleet.wanted, fleet.serving()), (1, 1));
    assert!(!process(1, State::Initializing).takes_part() && process(1, State::Draining).takes_part());
}

#[test]
fn who_knows_all_is_told_nothing() {
    let mut machines = Machines::default();
    machines.apply(MachineChanges { changed: vec![machine("a", 1, 1)], ..MachineChanges::default() });
    assert_eq!(machines.since(&machines.clone()), None);
    let mut same = Machines::default();
    same.apply(machines.anew());
    assert_eq!(machines.since(&same), None, "the same, in other memory");
    let own = Machines { own: Some(("b".to_owned(), 2)), ..machines.clone() };
    let changes = own.since(&machines).expect("its own name");
    machines.apply(changes);
    assert_eq!(machines, own);
}

fn any_machines() -> impl Strategy<Value = Machines> {
    prop::collection::vec((0..4u64, 0..3u64, 0..3u64), 0..6).prop_map(|all| {
        let mut machines = Machines::default();
        let changed = all.into_iter().map(|(name, epoch, nodes)| machine(&format!("m{name}"), epoch, nodes)).collect();
        machines.apply(MachineChanges { changed, ..MachineChanges::default() });
        machines
    })
}

proptest! {
    #[test]
    fn changes_lead_from_any_knowledge_to_any_other(before in any_machines(), after in any_machines()) {
        let mut known = before.clone();
        if let Some(changes) = after.since(&before) {
            known.apply(changes);
        }
        prop_assert_eq!(&known, &after);
        let mut known = before;
        known.apply(after.anew());
        prop_assert_eq!(known, after);
    }
}
