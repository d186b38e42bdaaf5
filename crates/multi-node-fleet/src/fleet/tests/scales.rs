use super::super::world::{KILLED, World, policy, secs};
use super::super::{Level, Policy};
use crate::command::{CommandError, Report, ScaleReport};
use crate::status::Exit;
use crate::status::State::{Draining, Empty, Killing, Serving, Starting};

fn scaled(from: usize, to: usize) -> Result<Report, CommandError> {
    Ok(Report::Scale(ScaleReport { from, to }))
}

#[test]
fn scaling_up_is_answered_once_all_new_nodes_are_ready() {
    let mut world = World::serving(policy(1));
    let ticket = world.scale(3);
    assert_eq!(world.spawned(), [2, 3]);
    world.up(3);
    assert_eq!(world.answers(), []);
    world.up(2);
    assert_eq!(world.answer_to(ticket), scaled(1, 3));
}

#[test]
fn scaling_down_drains_the_highest_slots_and_is_answered_when_they_are_gone() {
    let mut world = World::serving(policy(3));
    let ticket = world.scale(1);
    assert_eq!(world.drained(), [2, 3]);
    assert_eq!(world.states([1, 2, 3]), [Serving, Draining, Draining]);
    world.exit(3, Exit::Code(0));
    assert_eq!(world.answers(), []);
    world.exit(2, Exit::Code(1));
    assert_eq!(world.answer_to(ticket), scaled(3, 1));
    assert_eq!(world.status(), [(0, Serving, 1, 0)]);
    assert!(world.spawned().is_empty());
}

#[test]
fn scaling_down_ends_starting_nodes_and_rests() {
    let mut world = World::serving(policy(3));
    world.exit(3, KILLED);
    world.exit(2, KILLED);
    world.exit(5, KILLED);
    assert_eq!(world.status().iter().map(|s| s.2).collect::<Vec<_>>(), [1, 5, 4], "slot 1 rests, slot 2 starts");
    let ticket = world.scale(1);
    assert_eq!(world.states([4]), [Killing]);
    world.exit(4, KILLED);
    assert_eq!(world.answer_to(ticket), scaled(3, 1));
    assert_eq!(world.fleet.next_deadline(), None);
}

#[test]
fn scaling_to_what_is_there_is_answered_at_once() {
    let mut world = World::serving(policy(2));
    let ticket = world.scale(2);
    assert_eq!(world.answer_to(ticket), scaled(2, 2));
}

#[test]
fn a_new_node_that_fails_takes_the_added_slots_with_it() {
    let mut world = World::serving(policy(1));
    let ticket = world.scale(4);
    world.up(2);
    world.exit(3, Exit::Code(1));
    assert_eq!(world.failure_of(ticket), "node-3 in slot 2 ended with exit code 1 while starting");
    assert_eq!(world.states([1, 2, 4]), [Serving, Draining, Killing]);
    assert_eq!(world.fleet.snapshot(world.now, std::time::SystemTime::UNIX_EPOCH).wanted, 1);
    world.exit(2, Exit::Code(0));
    world.exit(4, KILLED);
    assert_eq!(world.spawned(), [2, 3, 4], "none is replaced");
    assert_eq!(world.status(), [(0, Serving, 1, 0)]);
}

#[test]
fn deaths_elsewhere_do_not_concern_the_command() {
    let mut world = World::serving(policy(1));
    let ticket = world.scale(2);
    world.exit(1, KILLED);
    world.up(2);
    assert_eq!(world.answer_to(ticket), scaled(1, 2));
    assert_eq!(world.states([1, 2, 3]), [Empty, Serving, Starting]);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let mut world = World::serving(policy(2));
    for asked in [0, 9, usize::MAX] {
        let ticket = world.scale(asked);
        assert_eq!(world.answer_to(ticket), Err(CommandError::OutOfRange { asked, max: 8 }));
    }
}

#[test]
fn commands_are_carried_out_one_at_a_time() {
    let mut world = World::serving(policy(1));
    world.scale(2);
    let second = world.reload();
    assert_eq!(world.answer_to(second), Err(CommandError::Busy { running: String::from("scale") }));
    world.up(2);
    world.answers();
    world.reload();
    let fourth = world.scale(1);
    assert_eq!(world.answer_to(fourth), Err(CommandError::Busy { running: String::from("reload") }));
}

#[test]
fn slots_that_are_scaled_away_and_back_start_afresh() {
    let mut world = World::serving(policy(2));
    world.scale(1);
    world.exit(2, Exit::Code(0));
    world.answers();
    let ticket = world.scale(2);
    world.up(3);
    assert_eq!(world.answer_to(ticket), scaled(1, 2));
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Serving, 3, 0)]);
}

#[test]
fn as_many_nodes_as_may_be_have_room() {
    let policy = Policy { room_for: 6, ..policy(1) };
    let no_room = |asked| Err(CommandError::OpenFiles { asked, max: 6 });
    for (asked, max_nodes, refusal) in [(6, 8, None), (7, 8, Some(no_room(7))), (8, 8, Some(no_room(8))), (5, 5, None)]
    {
        let mut world = World::serving(Policy { max_nodes, ..policy.clone() });
        let ticket = world.scale(asked);
        match refusal {
            Some(refusal) => assert_eq!(world.answer_to(ticket), refusal),
            None => assert_eq!(world.spawned().len(), asked - 1),
        }
    }
}

#[test]
fn scaling_to_what_is_there_waits_for_no_node_of_a_slot_that_is_gone() {
    let mut world = World::serving(policy(1));
    let failed = world.scale(3);
    world.up(2);
    world.exit(3, Exit::Code(1));
    world.said(Level::Warn, "not replaced, since the scaling has failed");
    world.failure_of(failed);
    assert_eq!(world.states([2]), [Draining]);
    let ticket = world.scale(1);
    assert_eq!(world.answer_to(ticket), scaled(1, 1));
}

#[test]
fn a_new_node_that_leaves_by_itself_does_not_fail_the_scaling() {
    let mut world = World::serving(policy(1));
    let ticket = world.scale(3);
    world.up(2);
    world.leaving(2);
    world.pass(secs(2));
    assert_eq!(world.spawned(), [2, 3, 4]);
    world.up(3);
    assert_eq!(world.answer_to(ticket), scaled(1, 3));
}
