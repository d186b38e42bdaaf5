//! Upgrade: trial, reload, departure.

use super::super::world::{World, policy, secs};
use super::super::{Action, Event, Fleet, Level, Policy};
use crate::command::CommandError;
use crate::id::Generation;
use crate::status::Exit;
use crate::status::State::{Serving, Starting};

fn trials(world: &World) -> Vec<u32> {
    let trials = world.done.iter().filter_map(|action| match action {
        Action::Preflight { generation: Generation(number) } => Some(*number),
        _ => None,
    });
    trials.collect()
}

fn departs(world: &World) -> bool {
    world.done.iter().any(|action| matches!(action, Action::Exec { .. }))
}

/// All nodes run the new program.
fn departing(nodes: usize) -> (World, super::super::Ticket) {
    let mut world = World::serving(policy(nodes));
    let ticket = world.upgrade();
    world.preflighted(1, Ok(()));
    for n in 1..=nodes as u64 {
        world.up(n + nodes as u64);
        world.exit(n, Exit::Code(0));
    }
    assert!(departs(&world));
    (world, ticket)
}

#[test]
fn no_node_is_started_before_the_trial_is_over() {
    let mut world = World::serving(policy(1));
    world.upgrade();
    assert_eq!(trials(&world), [1]);
    assert!(world.spawned().is_empty());
    world.preflighted(1, Ok(()));
    assert_eq!(world.status(), [(0, Starting, 2, 1), (0, Serving, 1, 0)]);
    assert!(!departs(&world));
}

#[test]
fn a_failed_trial_changes_nothing() {
    let mut world = World::serving(policy(2));
    let ticket = world.upgrade();
    world.preflighted(1, Err(String::from("it cannot read the state")));
    assert_eq!(world.failure_of(ticket), "it cannot read the state");
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Serving, 2, 0)]);
    world.said(Level::Error, "upgrade failed: it cannot read the state");
    world.reload();
    assert_eq!(world.spawned(), [3], "the next order is carried out");
}

#[test]
fn the_master_follows_when_the_last_old_node_has_ended() {
    let mut world = World::serving(policy(1));
    let ticket = world.upgrade();
    world.preflighted(1, Ok(()));
    world.up(2);
    assert!(!departs(&world), "the old node drains");
    world.exit(1, Exit::Code(0));
    assert!(departs(&world));
    assert_eq!(world.answers(), [], "who comes next knows {ticket:?} not");
}

#[test]
fn new_nodes_that_do_not_come_up_end_the_upgrade() {
    let mut world = World::serving(policy(2));
    let ticket = world.upgrade();
    world.preflighted(1, Ok(()));
    world.exit(3, Exit::Code(1));
    assert!(world.failure_of(ticket).contains("node-3 in slot 0"));
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Serving, 2, 0)]);
    world.said(Level::Error, "upgrade stopped");
}

#[test]
fn a_master_that_could_not_be_replaced_goes_on() {
    let (mut world, ticket) = departing(1);
    let other = world.reload();
    assert!(matches!(world.answer_to(other), Err(CommandError::Busy { running }) if running == "upgrade"));
    world.on(Event::Stayed { why: String::from("no such file") });
    assert_eq!(world.answer_to(ticket), Err(CommandError::MasterStays { why: String::from("no such file") }));
    world.reload();
    assert_eq!(world.spawned().last(), Some(&3));
}

#[test]
fn a_program_whose_last_node_has_ended_ends_and_is_not_upgraded() {
    let mut world = World::serving(Policy { restart: false, ..policy(1) });
    let ticket = world.upgrade();
    world.preflighted(1, Ok(()));
    world.up(2);
    world.exit(2, Exit::Code(1));
    world.exit(1, Exit::Code(0));
    assert!(!departs(&world));
    assert_eq!(world.answer_to(ticket), Err(CommandError::ShuttingDown));
    assert_eq!(world.finished().len(), 1);
}

#[test]
fn a_shutdown_overtakes_the_trial() {
    let mut world = World::serving(policy(1));
    let ticket = world.upgrade();
    world.shutdown(false);
    assert_eq!(world.answers()[0], (ticket, Err(CommandError::ShuttingDown)));
    world.preflighted(1, Ok(()));
    assert!(!world.spawned().contains(&2));
}

#[test]
fn times_pass_from_one_master_to_the_next() {
    let (mut world, _) = departing(2);
    // One node dies and its slot rests; the next master takes over 5 s later.
    world.exit(4, Exit::Code(1));
    world.exit(5, Exit::Code(1));
    let (rest, due) = (world.status(), world.fleet.next_deadline());
    assert!(due.is_some(), "{rest:?}");
    let (saved, then) = (world.fleet.save(world.now), world.now);
    world.now += secs(5);
    world.fleet = Fleet::restore(policy(2), 1, saved, then, world.now);
    assert_eq!((world.status(), world.fleet.next_deadline()), (rest, due));
    world.on(Event::Tick);
    assert_eq!(world.spawned().last(), Some(&6), "a rest that is over is over for the next master too");
}

#[test]
fn only_the_trial_of_its_own_program_decides_an_upgrade() {
    let refused = || Err(String::from("no"));
    let mut world = World::serving(policy(1));
    world.upgrade();
    world.preflighted(7, refused());
    world.preflighted(1, Ok(()));
    world.preflighted(1, refused());
    assert_eq!((world.spawned(), world.answers()), (vec![2], vec![]));

    let mut world = World::serving(policy(1));
    world.reload();
    world.preflighted(1, refused());
    assert_eq!((world.spawned(), world.answers()), (vec![2], vec![]), "a reload has no trial");
}

#[test]
fn a_fleet_that_reloads_upgrades_or_departs_is_reloading() {
    let mut world = World::serving(policy(1));
    assert!(!world.fleet.is_reloading());
    world.reload();
    assert!(world.fleet.is_reloading());
    assert!(departing(1).0.fleet.is_reloading());
}

#[test]
fn the_next_master_shows_the_same_status() {
    let mut world = World::serving(policy(2));
    world.pass(secs(7));
    world.exit(2, Exit::Code(1));
    world.pass(secs(3));
    let shown = |world: &World| world.fleet.snapshot(world.now, std::time::SystemTime::UNIX_EPOCH + secs(100));
    let before = shown(&world);
    world.fleet = Fleet::restore(policy(2), 1, world.fleet.save(world.now), world.now, world.now);
    assert_eq!(shown(&world), before);
}
