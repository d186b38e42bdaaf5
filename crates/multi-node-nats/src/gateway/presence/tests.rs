use multi_node_fleet::id::{Generation, NodeId, Slot};
use multi_node_fleet::machines::MachineProcess;
use multi_node_fleet::status::State;

use super::*;

fn key(name: &str, epoch: u64) -> MachineKey {
    (name.to_owned(), epoch)
}

fn fleet(nodes: u64) -> MachineFleet {
    let node =
        |number| MachineProcess::new(NodeId::node(number), Some(Slot(0)), 7, State::Serving, Generation::default());
    MachineFleet::new(2, (1..=nodes).map(node).collect())
}

/// The machines, each with how many processes are known of it; those that are lost stand with a question mark.
fn shown(presence: &Presence) -> String {
    let machine = |machine: &Arc<Machine>| {
        let lost = if machine.reachable { "" } else { "?" };
        format!("{}#{}:{}{lost}", machine.name, machine.epoch, machine.fleet.processes.len())
    };
    presence.machines().others.values().map(machine).collect::<Vec<_>>().join(" ")
}

fn tick(presence: &mut Presence, ticks: u16) {
    (0..ticks).for_each(|_| presence.tick());
}

#[test]
fn a_machine_is_lost_when_it_is_silent_and_comes_back_as_it_is_then() {
    let (mut presence, a) = (Presence::default(), key("a", 1));
    assert!(presence.fleet(&a, fleet(2)));
    for _ in 0..10 {
        tick(&mut presence, LOST - 1);
        assert!(presence.alive(&a, digest(&fleet(2))));
    }
    assert_eq!((shown(&presence), presence.reachable()), ("a#1:2".to_owned(), 1));
    tick(&mut presence, LOST);
    assert_eq!((shown(&presence), presence.reachable()), ("a#1:2?".to_owned(), 0));
    assert!(!presence.alive(&a, digest(&fleet(1))), "what runs there is not known");
    assert_eq!(shown(&presence), "a#1:2?");
    assert!(presence.fleet(&a, fleet(1)));
    assert_eq!(shown(&presence), "a#1:1");
    tick(&mut presence, LOST);
    assert!(presence.alive(&a, digest(&fleet(1))), "a split that was healed");
    assert_eq!(shown(&presence), "a#1:1");
}

#[test]
fn one_whose_processes_are_not_known_lives_still() {
    let (mut presence, a) = (Presence::default(), key("a", 1));
    presence.fleet(&a, fleet(2));
    for _ in 0..5 {
        tick(&mut presence, LOST - 1);
        assert!(!presence.alive(&a, 0));
    }
    assert_eq!(shown(&presence), "a#1:2");
    assert!(!presence.alive(&key("b", 1), 0));
    assert_eq!(shown(&presence), "a#1:2", "a machine is known when its processes are");
}

#[test]
fn a_start_after_a_loss_is_another_machine_that_takes_its_place() {
    let mut presence = Presence::default();
    presence.fleet(&key("a", 7), fleet(2));
    tick(&mut presence, 1);
    presence.fleet(&key("a", 3), fleet(1));
    assert_eq!(shown(&presence), "a#3:1 a#7:2", "the first may live still");
    tick(&mut presence, LOST - 1);
    assert_eq!(shown(&presence), "a#3:1");
    tick(&mut presence, 1);
    assert_eq!(shown(&presence), "a#3:1?");
    presence.fleet(&key("a", 9), fleet(1));
    assert_eq!(shown(&presence), "a#9:1");
}

#[test]
fn one_that_takes_leave_is_gone_at_once_and_a_lost_one_later() {
    let mut presence = Presence::default();
    ["a", "b"].iter().for_each(|name| assert!(presence.fleet(&key(name, 1), fleet(1))));
    presence.leaves(&key("a", 1));
    presence.leaves(&key("a", 1));
    assert_eq!(shown(&presence), "b#1:1");
    tick(&mut presence, FORGOTTEN - 1);
    assert_eq!(shown(&presence), "b#1:1?");
    tick(&mut presence, 1);
    assert_eq!(shown(&presence), "");
    assert!(presence.silent.is_empty());
}

#[test]
fn a_new_gateway_misses_machines_that_the_one_before_has_known() {
    let mut presence = Presence::default();
    presence.fleet(&key("b", 1), fleet(3));
    let mut lost = Machine::new("c", 1, fleet(1));
    lost.reachable = false;
    presence.inherit(vec![Machine::new("a", 1, fleet(1)), Machine::new("b", 1, fleet(1)), lost]);
    assert_eq!(shown(&presence), "a#1:1 b#1:3 c#1:1?");
    tick(&mut presence, LOST);
    assert_eq!(shown(&presence), "a#1:1? b#1:3? c#1:1?");
}

#[test]
fn there_is_room_for_a_bounded_number() {
    let mut presence = Presence::default();
    for number in 0..MOST_MACHINES as u64 {
        assert!(presence.fleet(&key("a", number), fleet(15)));
    }
    assert!(!presence.fleet(&key("a", u64::MAX), fleet(0)), "machines");
    assert!(!presence.fleet(&key("a", 0), fleet(15 + MOST_MACHINES as u64 + 1)), "processes");
    assert!(presence.fleet(&key("a", 0), fleet(15 + MOST_MACHINES as u64)));
    assert_eq!(presence.reachable(), MOST_MACHINES);
}
