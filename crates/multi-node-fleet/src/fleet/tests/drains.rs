//! Commands that meet older generations which drain, and reloads that wait for their turn.

use super::super::world::{KILLED, World, policy, secs};
use super::super::{Action, Fatal, Level, Ticket};
use crate::command::{CommandError, Report};
use crate::id::NodeId;
use crate::status::Exit;
use crate::status::State::{Draining, Killing, Serving, Starting};

fn superseded(by: &str) -> CommandError {
    CommandError::Superseded { by: by.to_owned() }
}

fn generation_of(world: &mut World, ticket: Ticket) -> u32 {
    match world.answer_to(ticket) {
        Ok(Report::Reload(report)) => report.generation.number(),
        other => panic!("no report: {other:?}"),
    }
}

/// One slot whose old nodes drain: node 1 and node 2. Node 3 serves.
fn two_drain() -> (World, [Ticket; 2]) {
    let mut world = World::serving(policy(1));
    let first = world.reload();
    world.up(2);
    world.pass(secs(5));
    let second = world.reload();
    world.up(3);
    assert_eq!(world.states([1, 2, 3]), [Draining, Draining, Serving]);
    (world, [first, second])
}

#[test]
fn a_reload_begins_while_an_older_generation_drains() {
    let (mut world, [first, second]) = two_drain();
    world.exit(2, Exit::Code(0));
    assert_eq!(generation_of(&mut world, second), 2, "each answer comes with its own drain");
    world.exit(1, Exit::Code(0));
    assert_eq!(generation_of(&mut world, first), 1);
}

#[test]
fn a_third_waits_until_one_of_two_has_drained() {
    let (mut world, [first, _]) = two_drain();
    world.spawned();
    let third = world.reload();
    world.said(Level::Info, "reload waits for node-1 to drain, 25 s at most; `reload --now` does not wait");
    assert_eq!((world.spawned(), world.answers()), (vec![], vec![]));
    let waiting = world.waiting().expect("it waits");
    assert_eq!((waiting.command.as_str(), waiting.nodes.as_slice()), ("reload", [NodeId::node(1)].as_slice()));
    assert!(waiting.until.is_some());
    world.pass(secs(25));
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
    world.exit(1, KILLED);
    assert_eq!(generation_of(&mut world, first), 1);
    assert_eq!((world.spawned(), world.waiting()), (vec![4], None));
    world.up(4);
    world.exit(3, Exit::Code(0));
    assert_eq!(generation_of(&mut world, third), 3);
}

#[test]
fn a_reload_that_does_not_wait_cuts_the_oldest_generation() {
    let (mut world, [first, _]) = two_drain();
    let waits = world.reload();
    let now = world.reload_now();
    assert_eq!(world.answer_to(waits), Err(superseded("reload")));
    assert_eq!((world.signals(), world.states([1, 2])), (vec![(1, Fatal::Kill)], [Killing, Draining]));
    assert_eq!(world.spawned().last(), Some(&4), "it begins at once");
    world.exit(1, KILLED);
    generation_of(&mut world, first);
    world.up(4);
    world.exit(3, Exit::Code(0));
    assert_eq!(generation_of(&mut world, now), 3);
}

#[test]
fn of_reloads_during_a_reload_the_last_runs_next() {
    let mut world = World::serving(policy(1));
    let first = world.reload();
    let second = world.reload();
    world.said(Level::Info, "reload waits for the one that is under way");
    assert_eq!(world.waiting().map(|waiting| (waiting.nodes, waiting.until)), Some((vec![], None)));
    let third = world.reload();
    assert_eq!(world.answer_to(second), Err(superseded("reload")));
    world.spawned();
    world.up(2);
    assert_eq!(world.spawned(), [3], "as soon as the first has its slots");
    world.exit(1, Exit::Code(0));
    assert_eq!(generation_of(&mut world, first), 1);
    world.up(3);
    world.exit(2, Exit::Code(0));
    assert_eq!(generation_of(&mut world, third), 2);
}

#[test]
fn a_reload_that_fails_makes_way_for_the_next() {
    let mut world = World::serving(policy(1));
    let (first, second) = (world.reload(), world.reload());
    world.exit(2, Exit::Code(1));
    world.failure_of(first);
    world.up(3);
    world.exit(1, Exit::Code(0));
    assert_eq!(generation_of(&mut world, second), 2);
}

#[test]
fn an_upgrade_supersedes_a_reload_that_waits_and_no_reload_an_upgrade() {
    let (mut world, _) = two_drain();
    let reload = world.reload();
    let upgrade = world.upgrade();
    assert_eq!(world.answer_to(reload), Err(superseded("upgrade")));
    let reload = world.reload();
    assert_eq!(world.answer_to(reload), Err(CommandError::Busy { running: String::from("upgrade") }));
    world.shutdown(false);
    assert!(world.answers().contains(&(upgrade, Err(CommandError::ShuttingDown))));
}

#[test]
fn an_upgrade_begins_while_an_older_generation_drains_and_lets_it_end() {
    let mut world = World::serving(policy(1));
    let reload = world.reload();
    world.up(2);
    world.upgrade();
    world.preflighted(2, Ok(()));
    world.up(3);
    world.exit(2, Exit::Code(0));
    let departs = |world: &World| world.done.iter().any(|action| matches!(action, Action::Exec { .. }));
    assert!(!departs(&world), "the callers that wait for node-1 are answered first");
    world.exit(1, Exit::Code(0));
    assert_eq!(generation_of(&mut world, reload), 1);
    assert!(departs(&world));
}

#[test]
fn a_restart_that_drains_hinders_only_the_next_of_its_slot() {
    let mut world = World::serving(policy(2));
    let restart = world.restart(0);
    world.up(3);
    let again = world.restart(0);
    assert_eq!(world.answer_to(again), Err(CommandError::Busy { running: String::from("restart") }));
    world.restart(1);
    assert_eq!(world.status()[2], (1, Starting, 4, 0));
    world.exit(1, Exit::Code(0));
    world.answer_to(restart).expect("restarted");
    world.up(4);
    world.reload();
    assert_eq!(world.status()[0], (0, Starting, 5, 1));
}

#[test]
fn a_shutdown_answers_all_that_drain_or_wait() {
    let (mut world, [first, second]) = two_drain();
    let third = world.reload();
    let stop = world.shutdown(false);
    let answered: Vec<_> = world.answers().into_iter().map(|(ticket, answer)| (ticket, answer.err())).collect();
    assert_eq!(answered, [first, second, third].map(|ticket| (ticket, Some(CommandError::ShuttingDown))));
    [1, 2, 3].into_iter().for_each(|n| world.exit(n, Exit::Code(0)));
    world.answer_to(stop).expect("stopped");
}

#[test]
fn a_reload_that_waits_for_another_waits_for_no_drain() {
    let mut world = World::serving(policy(2));
    world.reload();
    [3, 4].into_iter().for_each(|n| world.up(n));
    world.reload();
    world.up(5);
    assert_eq!(world.states([1, 2, 3]), [Draining; 3], "of two generations");
    world.reload();
    assert_eq!(world.waiting().map(|waiting| (waiting.nodes, waiting.until)), Some((vec![], None)));
}

#[test]
fn a_node_that_was_killed_while_it_drained_is_told_of_as_one() {
    let mut world = World::serving(policy(1));
    world.shutdown(false);
    world.pass(secs(30));
    world.exit(1, KILLED);
    world.said(Level::Warn, "ended by SIGKILL before it had drained");
}
