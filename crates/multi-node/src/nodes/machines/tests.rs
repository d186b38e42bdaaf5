use super::*;
use crate::id::{Generation, Slot};
use crate::machines::{MachineChanges, MachineFleet, MachineProcess};
use crate::status::State;

fn machine(name: &str, epoch: u64, nodes: &[(u64, State)]) -> Machine {
    let process =
        |&(number, state)| MachineProcess::new(NodeId::node(number), Some(Slot(0)), 7, state, Generation::default());
    Machine::new(name, epoch, MachineFleet::new(1, nodes.iter().map(process).collect()))
}

fn silent(mut machine: Machine) -> Machine {
    machine.reachable = false;
    machine
}

/// What comes when the machines are so, one after the other.
fn heard(all: impl IntoIterator<Item = Vec<Machine>>) -> Vec<Vec<String>> {
    let mut known = BTreeMap::new();
    let mut heard = |machines: Vec<Machine>| {
        let mut now = Machines::default();
        now.apply(MachineChanges { changed: machines, ..MachineChanges::default() });
        let text = |event| match event {
            MachineEvent::Joined(process) => format!("{process} joined"),
            MachineEvent::Left(process, why) => format!("{process} left: {why}"),
        };
        changes(&mut known, &now).into_iter().map(text).collect()
    };
    all.into_iter().map(&mut heard).collect()
}

#[test]
fn a_process_joins_when_it_serves_and_leaves_with_the_reason() {
    let a = |nodes: &[(u64, State)]| vec![machine("a", 5, nodes)];
    let heard = heard([
        a(&[(1, State::Serving), (2, State::Starting)]),
        a(&[(1, State::Draining), (2, State::Serving)]),
        a(&[(2, State::Serving)]),
        vec![silent(machine("a", 5, &[(2, State::Serving)]))],
        a(&[(2, State::Serving)]),
        Vec::new(),
        vec![machine("a", 6, &[(2, State::Serving)])],
    ]);
    let expected: [&[&str]; 7] = [
        &["a/0#5.1 joined"],
        &["a/0#5.2 joined"],
        &["a/0#5.1 left: it has ended"],
        &["a/0#5.2 left: its machine is silent"],
        &["a/0#5.2 joined"],
        &["a/0#5.2 left: its machine has left"],
        &["a/0#6.2 joined"],
    ];
    assert_eq!(heard, expected);
}

#[test]
fn a_start_of_a_program_after_a_crash_has_other_processes() {
    let heard = heard([
        vec![machine("a", 5, &[(1, State::Serving)])],
        vec![silent(machine("a", 5, &[(1, State::Serving)])), machine("a", 6, &[(1, State::Serving)])],
    ]);
    assert_eq!(heard, [vec!["a/0#5.1 joined"], vec!["a/0#5.1 left: its machine is silent", "a/0#6.1 joined"]]);
}
