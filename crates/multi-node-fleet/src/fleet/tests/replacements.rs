use super::super::world::{KILLED, World, policy, replacement, secs};
use super::super::{Level, Policy};
use crate::command::{CommandError, Report};
use crate::id::Slot;
use crate::status::Exit;
use crate::status::State::{Draining, Serving, Starting};

#[test]
fn a_restart_replaces_one_slot_by_its_own_generation() {
    let mut world = World::serving(policy(2));
    let ticket = world.restart(1);
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Starting, 3, 0), (1, Serving, 2, 0)]);
    world.pass(secs(3));
    world.up(3);
    assert_eq!((world.drained(), world.answers()), (vec![2], vec![]));
    world.pass(secs(4));
    world.exit(2, Exit::Code(0));
    let expected = replacement(1, (2, 3), secs(3), secs(4));
    assert_eq!(world.answer_to(ticket), Ok(Report::Restart(expected)));
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Serving, 3, 0)]);
    assert_eq!(world.restarts(), [0, 0]);
}

#[test]
fn a_restart_that_fails_leaves_the_slot_to_its_node() {
    let mut world = World::serving(policy(1));
    let ticket = world.restart(0);
    world.hello(2);
    world.failed(2, "no database");
    world.exit(2, Exit::Code(1));
    assert_eq!(world.failure_of(ticket), "node-2 in slot 0 ended with exit code 1 while initializing: no database");
    world.said(Level::Warn, "not replaced, since it was to replace another, which stays");
    assert_eq!((world.status(), world.restarts()), (vec![(0, Serving, 1, 0)], vec![0]));
}

#[test]
fn an_old_node_that_dies_leaves_its_slot_to_the_new_one_or_to_another() {
    let mut world = World::serving(policy(1));
    world.restart(0);
    world.exit(1, KILLED);
    assert_eq!(world.spawned(), [2]);
    world.exit(2, KILLED);
    assert_eq!(world.status(), [(0, Starting, 3, 0)]);
}

#[test]
fn a_slot_that_rests_is_tried_at_once_and_keeps_its_record() {
    let mut world = World::serving(policy(2));
    world.exit(1, KILLED);
    world.exit(3, KILLED);
    let ticket = world.restart(0);
    assert_eq!(world.status(), [(0, Starting, 4, 0), (1, Serving, 2, 0)]);
    world.up(4);
    world.answer_to(ticket).expect("there is no old node to wait for");
    world.exit(4, KILLED);
    world.said(Level::Warn, "starting again in 200 ms");
}

#[test]
fn with_surge_0_the_old_node_goes_first() {
    let mut world = World::serving(Policy { surge: 0, ..policy(2) });
    let ticket = world.restart(0);
    assert_eq!((world.drained(), world.spawned()), (vec![1], vec![]));
    world.exit(1, Exit::Code(0));
    world.up(3);
    world.answer_to(ticket).expect("a report");
    assert_eq!(world.all(Serving), [2, 3]);
}

#[test]
fn a_slot_that_is_not_there_is_not_restarted() {
    let mut world = World::serving(policy(2));
    let ticket = world.restart(2);
    assert_eq!(world.answer_to(ticket), Err(CommandError::NoSuchSlot { slot: Slot(2), slots: 2 }));
}

#[test]
fn commands_wait_for_each_other() {
    let mut world = World::serving(policy(2));
    world.restart(0);
    for second in [World::reload, |world: &mut World| world.restart(1), |world: &mut World| world.scale(1)] {
        let second = second(&mut world);
        assert_eq!(world.answer_to(second), Err(CommandError::Busy { running: String::from("restart") }));
    }
}

#[test]
fn a_shutdown_overtakes_a_restart() {
    let mut world = World::serving(policy(1));
    let restart = world.restart(0);
    world.shutdown(false);
    assert_eq!(world.answer_to(restart), Err(CommandError::ShuttingDown));
    assert_eq!(world.all(Draining), [1]);
}
