use super::super::world::{KILLED, World, policy, secs};
use super::super::{Event, Fatal, Fleet, Level, Policy};
use crate::id::NodeId;
use crate::status::State::{Draining, Killing, Serving};

/// Serving nodes that give no sign of life any more.
fn silent(nodes: usize) -> World {
    let mut world = World::serving(Policy { hang_timeout: Some(secs(30)), ..policy(nodes) });
    world.beats = false;
    world
}

#[test]
fn a_silent_node_is_examined_aborted_killed_and_replaced() {
    let mut world = silent(1);
    world.pass(secs(29));
    assert!(world.examinations().is_empty());
    world.pass(secs(1));
    assert_eq!(world.examinations(), [1]);
    world.examined(1, false);
    assert_eq!(world.signals(), [(1, Fatal::Abort)]);
    world.said(Level::Error, "aborting it while serving: its runtime was silent for 30 s; main waits in futex");
    world.pass(secs(5));
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
    world.exit(1, KILLED);
    world.said(Level::Warn, "ended by SIGKILL while serving: its runtime was silent for 30 s; starting again at once");
    assert_eq!(world.restarts(), [1]);
}

#[test]
fn a_beating_node_is_left_alone() {
    let mut world = silent(1);
    world.beats = true;
    for _ in 0..20 {
        world.pass(secs(10));
    }
    assert!(world.examinations().is_empty());
}

#[test]
fn of_other_programs_only_those_are_watched_that_link_the_crate() {
    let policy = Policy { hang_timeout: Some(secs(30)), all_beat: false, ..policy(2) };
    let mut world = World::serving(policy.clone());
    world.beats = false;
    world.on(Event::Linked { id: NodeId::node(2) });
    world.pass(secs(30));
    assert_eq!(world.examinations(), [2]);
    world.examined(2, false);
    world.exit(2, KILLED);

    world.up(3);
    world.on(Event::Linked { id: NodeId::node(3) });
    let saved = world.fleet.save(world.now);
    world.fleet = Fleet::restore(policy, 1, saved, world.now, world.now);
    world.pass(secs(30));
    assert_eq!(world.examinations(), [3], "also by the next master");
}

#[test]
fn a_beat_during_the_examination_saves_the_node() {
    let mut world = silent(1);
    world.pass(secs(30));
    world.on(Event::Beat { id: NodeId::node(1) });
    world.examined(1, false);
    assert_eq!(world.signals(), []);
    assert_eq!(world.states([1]), [Serving]);
}

#[test]
fn a_traced_node_is_never_aborted() {
    let mut world = silent(1);
    for _ in 0..3 {
        world.pass(secs(30));
        assert_eq!(world.examinations(), [1]);
        world.examined(1, true);
        assert_eq!(world.signals(), []);
    }
}

#[test]
fn silent_nodes_are_dealt_with_one_at_a_time() {
    let mut world = silent(3);
    world.pass(secs(30));
    assert_eq!(world.examinations(), [1]);
    world.examined(1, false);
    world.pass(secs(4));
    world.on(Event::Tick);
    assert!(world.examinations().is_empty(), "while the first is being ended");
    world.exit(1, KILLED);
    world.on(Event::Tick);
    assert_eq!(world.examinations(), [2]);
}

#[test]
fn an_examination_that_is_never_answered_shields_nobody_for_ever() {
    let mut world = silent(2);
    world.pass(secs(30));
    world.on(Event::Beat { id: NodeId::node(1) });
    world.on(Event::Tick);
    assert_eq!(world.examinations(), [1, 2]);
    world.pass(secs(5));
    assert_eq!(world.examinations(), [2], "asked again");
}

#[test]
fn a_draining_node_that_hangs_is_aborted_and_its_exit_is_no_death() {
    let mut world = silent(1);
    world.pass(secs(10));
    world.leaving(1);
    world.pass(secs(20));
    assert_eq!(world.examinations(), [1]);
    assert_eq!(world.states([1]), [Draining]);
    world.examined(1, false);
    assert_eq!(world.states([1]), [Killing]);
    world.exit(1, KILLED);
    assert_eq!(world.restarts(), [0]);
}

#[test]
fn nobody_is_silent_while_the_master_does_not_listen() {
    let mut world = silent(1);
    world.pass(secs(20));
    world.now += secs(600);
    world.on(Event::Late(secs(600)));
    world.on(Event::Tick);
    assert!(world.examinations().is_empty());
    world.pass(secs(10));
    assert_eq!(world.examinations(), [1]);
}

#[test]
fn only_the_node_that_is_examined_is_judged() {
    let mut world = silent(2);
    world.pass(secs(30));
    assert_eq!(world.examinations(), [1]);
    world.examined(2, false);
    assert_eq!(world.signals(), []);
    world.examined(1, false);
    assert_eq!(world.signals(), [(1, Fatal::Abort)]);
}
