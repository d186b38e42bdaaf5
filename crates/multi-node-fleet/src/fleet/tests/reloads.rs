use std::time::Duration;

use super::super::world::{KILLED, World, millis, policy, replacement, secs};
use super::super::{Event, Fatal, Level, Policy, Tally, Ticket};
use crate::command::{Command, ReloadReport, Report};
use crate::id::{Generation, NodeId};
use crate::status::Drained;
use crate::status::Exit;
use crate::status::State::{Draining, Empty, Killing, Serving, Starting};

fn report_of(world: &mut World, ticket: Ticket) -> ReloadReport {
    match world.answer_to(ticket) {
        Ok(Report::Reload(report)) => report,
        other => panic!("no report: {other:?}"),
    }
}

fn with_surge(nodes: usize, surge: usize) -> World {
    World::serving(Policy { surge, ..policy(nodes) })
}

#[test]
fn the_old_node_drains_once_the_new_one_is_ready() {
    let mut world = World::serving(policy(1));
    let ticket = world.reload();
    assert_eq!(world.status(), [(0, Starting, 2, 1), (0, Serving, 1, 0)]);
    world.pass(secs(3));
    world.up(2);
    assert_eq!(world.drained(), [1]);
    assert_eq!(world.status(), [(0, Serving, 2, 1), (0, Draining, 1, 0)]);
    world.pass(secs(4));
    assert_eq!(world.answers(), []);
    world.exit(1, Exit::Code(0));
    let slot = replacement(0, (1, 2), secs(3), secs(4));
    let (slots, not_applied) = (vec![slot], Vec::new());
    let expected = ReloadReport {
        generation: Generation(1),
        slots,
        took: secs(7),
        canary: None,
        not_applied,
        certificate_errors: Vec::new(),
    };
    assert_eq!(report_of(&mut world, ticket), expected);
    assert_eq!(world.restarts(), [0]);
}

#[test]
fn slots_follow_one_another_and_drains_overlap() {
    let mut world = World::serving(policy(3));
    let ticket = world.reload();
    for (n, drained) in [(4, 1), (5, 2), (6, 3)] {
        assert_eq!(world.spawned(), [n], "one new node ahead");
        world.up(n);
        assert_eq!(world.drained(), [drained]);
    }
    assert_eq!(world.all(Draining), [1, 2, 3]);
    world.pass(secs(30));
    assert_eq!(world.signals().len(), 3);
    for n in [3, 2, 1] {
        world.exit(n, KILLED);
    }
    let report = report_of(&mut world, ticket);
    assert!(report.slots.iter().all(|slot| slot.killed && slot.drain == secs(30)), "{report:?}");
    assert_eq!(report.slots.iter().map(|slot| slot.slot.index()).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn surge_is_how_many_start_at_a_time() {
    let mut world = with_surge(4, 3);
    world.reload();
    assert_eq!(world.spawned(), [5, 6, 7]);
    world.up(6);
    assert_eq!(world.spawned(), [8]);
    assert_eq!(world.all(Serving), [1, 3, 4, 6]);
}

#[test]
fn surge_0_stops_the_old_one_first_and_one_at_a_time() {
    let mut world = with_surge(2, 0);
    let ticket = world.reload();
    assert_eq!((world.drained(), world.spawned()), (vec![1], vec![]));
    world.exit(1, Exit::Code(0));
    assert_eq!((world.drained(), world.spawned()), (vec![], vec![3]));
    world.up(3);
    assert_eq!((world.drained(), world.spawned()), (vec![2], vec![]));
    world.exit(2, Exit::Code(0));
    world.up(4);
    assert_eq!(report_of(&mut world, ticket).slots.len(), 2);
    assert_eq!(world.status(), [(0, Serving, 3, 1), (1, Serving, 4, 1)]);
}

#[test]
fn a_program_that_is_not_found_changes_nothing() {
    let mut world = World::serving(policy(2));
    world.resolves = Err(String::from("no such file"));
    let ticket = world.reload();
    assert_eq!(world.failure_of(ticket), "no such file");
    assert!(world.spawned().is_empty());
    world.resolves = Ok(());
    world.reload();
    assert_eq!(world.spawned(), [3], "the next one is free to try");
}

#[test]
fn a_new_node_that_fails_stops_the_reload_and_the_old_ones_go_on() {
    let mut world = World::serving(policy(3));
    let ticket = world.reload();
    world.up(4);
    world.hello(5);
    world.failed(5, "no database");
    assert_eq!(world.answers(), []);
    world.exit(5, Exit::Code(1));
    let why = world.failure_of(ticket);
    assert_eq!(why, "node-5 in slot 1 ended with exit code 1 while initializing: no database");
    world.said(Level::Warn, "not replaced, since the reload has failed");
    world.said(Level::Error, "reload stopped after 0 ms, with 1 slots done");
    let expected = [(0, Serving, 4, 1), (0, Draining, 1, 0), (1, Serving, 2, 0), (2, Serving, 3, 0)];
    assert_eq!(world.status(), expected);
    assert_eq!(world.restarts(), [0, 0, 0], "the old one was not restarted");
}

#[test]
fn what_nodes_may_still_be_started_from_is_known() {
    let mut world = World::serving(policy(2));
    let starts = |world: &World| [0, 1, 2].map(|generation| world.fleet.starts(Generation(generation)));
    assert_eq!(starts(&world), [true, false, false]);
    world.reload();
    assert_eq!(starts(&world), [true, true, false]);
    world.up(3);
    world.exit(1, Exit::Code(0));
    world.failed(4, "broken");
    world.exit(4, Exit::Code(1));
    assert_eq!(starts(&world), [true, true, false], "one slot has switched");
    world.scale(1);
    world.exit(2, Exit::Code(0));
    assert_eq!(starts(&world), [true, true, false], "a slot that is added runs what served last as a whole");
    world.reload();
    world.up(5);
    world.exit(3, Exit::Code(0));
    assert_eq!(starts(&world), [false, false, true]);
}

#[test]
fn only_the_first_answer_about_its_own_program_begins_a_reload() {
    let mut world = World::serving(policy(1));
    let ticket = Ticket(77);
    world.fleet.on(world.now, Event::Asked { ticket, command: Command::Reload });
    let refused = || Err(String::from("no such file"));
    world.on(Event::Resolved { generation: Generation(7), result: refused() });
    world.on(Event::Resolved { generation: Generation(1), result: Ok(()) });
    world.on(Event::Resolved { generation: Generation(1), result: refused() });
    assert_eq!((world.spawned(), world.answers()), (vec![2], vec![]));
}

#[test]
fn a_restart_runs_its_slots_own_generation() {
    let mut world = World::serving(policy(2));
    world.reload();
    world.up(3);
    world.exit(4, Exit::Code(1));
    world.exit(3, KILLED);
    world.exit(2, KILLED);
    assert_eq!(world.status(), [(0, Starting, 5, 1), (0, Draining, 1, 0), (1, Starting, 6, 0)]);
    world.exit(1, Exit::Code(0));
    world.answers();
    world.scale(3);
    assert_eq!(world.status()[2], (2, Starting, 7, 0), "new slots run what last came to serve in all");
    world.up(7);
    world.answers();
    world.reload();
    assert_eq!(world.status()[0], (0, Starting, 8, 2), "a generation is not used twice");
}

#[test]
fn the_other_new_nodes_are_ended_when_one_fails() {
    let mut world = with_surge(3, 2);
    let ticket = world.reload();
    world.hello(5);
    world.exit(4, Exit::Code(1));
    world.failure_of(ticket);
    assert_eq!(world.signals(), [(5, Fatal::Kill)]);
    world.exit(5, KILLED);
    world.said(Level::Info, "ended by SIGKILL");
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Serving, 2, 0), (2, Serving, 3, 0)]);
    assert_eq!(world.spawned(), [4, 5]);
}

#[test]
fn a_new_node_that_is_not_ready_in_time_stops_the_reload() {
    let mut world = World::serving(policy(1));
    let ticket = world.reload();
    world.pass(secs(60));
    assert_eq!(world.signals(), [(2, Fatal::Kill)]);
    world.exit(2, KILLED);
    assert!(world.failure_of(ticket).contains("did not become ready within 60 s"));
    assert_eq!(world.states([1]), [Serving]);
}

#[test]
fn a_new_node_that_cannot_be_spawned_stops_the_reload() {
    let mut world = World::serving(policy(2));
    world.spawns = Err(String::from("out of memory"));
    let ticket = world.reload();
    assert_eq!(world.failure_of(ticket), "node-3 in slot 0 could not be started: out of memory");
    assert_eq!(world.all(Serving), [1, 2]);
}

#[test]
fn a_switched_node_that_dies_stops_a_reload_that_has_slots_to_go() {
    let mut world = World::serving(policy(2));
    let ticket = world.reload();
    world.up(3);
    world.exit(3, Exit::Signal(11));
    assert_eq!(world.failure_of(ticket), "node-3 in slot 0 ended by SIGSEGV while serving");
    assert_eq!(world.states([2, 4, 5]), [Serving, Killing, Starting]);
}

#[test]
fn once_all_slots_have_switched_a_death_is_only_a_death() {
    let mut world = World::serving(policy(1));
    let ticket = world.reload();
    world.up(2);
    world.exit(2, KILLED);
    assert_eq!(world.states([1, 3]), [Draining, Starting]);
    world.exit(1, Exit::Code(0));
    assert_eq!(report_of(&mut world, ticket).slots[0].new, NodeId::node(2));
}

#[test]
fn surge_0_fills_the_slot_with_the_old_generation_when_the_new_one_fails() {
    for restart in [true, false] {
        let mut world = World::serving(Policy { surge: 0, restart, ..policy(2) });
        let ticket = world.reload();
        world.exit(1, Exit::Code(0));
        world.exit(3, Exit::Code(1));
        world.failure_of(ticket);
        assert_eq!(world.status(), [(0, Starting, 4, 0), (1, Serving, 2, 0)]);
    }
}

#[test]
fn an_old_node_that_dies_before_its_turn_is_replaced_as_always() {
    let mut world = World::serving(policy(2));
    world.reload();
    world.exit(2, KILLED);
    assert_eq!(world.status(), [(0, Starting, 3, 1), (0, Serving, 1, 0), (1, Starting, 4, 0)]);
    assert_eq!(world.restarts(), [0, 1]);
}

#[test]
fn an_old_node_that_dies_in_its_turn_leaves_the_slot_to_the_new_one() {
    let mut world = World::serving(policy(1));
    let ticket = world.reload();
    world.exit(1, KILLED);
    world.said(Level::Warn, "ended by SIGKILL while serving; node-2, which is starting, takes its slot");
    assert_eq!(world.spawned(), [2]);
    world.up(2);
    let report = report_of(&mut world, ticket);
    assert_eq!((report.slots[0].old, report.slots[0].drain), (Some(NodeId::node(1)), Duration::ZERO));
    assert_eq!(world.restarts(), [1]);
}

#[test]
fn should_the_new_one_then_fail_the_slot_goes_back_to_its_generation() {
    let mut world = World::serving(policy(1));
    let ticket = world.reload();
    world.exit(1, KILLED);
    world.exit(2, Exit::Code(1));
    world.failure_of(ticket);
    assert_eq!(world.status(), [(0, Starting, 3, 0)]);
}

#[test]
fn a_slot_that_rests_gets_its_new_node_at_once() {
    let mut world = World::serving(policy(1));
    world.exit(1, KILLED);
    world.exit(2, KILLED);
    let ticket = world.reload();
    assert_eq!(world.status(), [(0, Starting, 3, 1)]);
    world.pass(secs(1));
    assert_eq!(world.spawned(), [2, 3], "the rest is cancelled");
    world.up(3);
    let slot = &report_of(&mut world, ticket).slots[0];
    assert_eq!((slot.old, slot.to_ready), (None, secs(1)));
}

#[test]
fn an_old_node_that_never_came_up_is_ended_when_the_new_one_is_ready() {
    let mut world = World::started(policy(1));
    let ticket = world.reload();
    world.hello(1);
    world.up(2);
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
    world.exit(1, KILLED);
    report_of(&mut world, ticket);
    assert_eq!(world.restarts(), [0]);
}

#[test]
fn an_old_node_that_leaves_in_its_turn_is_waited_for() {
    let mut world = World::serving(policy(1));
    let ticket = world.reload();
    world.leaving(1);
    world.up(2);
    assert_eq!(world.answers(), []);
    world.pass(millis(1500));
    world.exit(1, Exit::Code(0));
    assert_eq!(report_of(&mut world, ticket).slots[0].drain, millis(1500));
    assert_eq!(world.spawned(), [2]);
}

#[test]
fn the_report_tells_what_became_of_connections_and_requests() {
    let mut world = World::serving(policy(3));
    let ticket = world.reload();
    [4, 5, 6].into_iter().for_each(|n| world.up(n));
    world.said_drained(1, Drained { finished: 3, handed_off: 40, aborted: 2, ..Drained::default() });
    // The last look finds what was cut by the node itself, and of a node that was killed, what it still had.
    world.exit_with(1, Exit::Code(0), Tally { requests: 9, unanswered: 1, ..Tally::default() });
    world.exit(3, Exit::Code(0));
    world.pass(secs(30));
    world.exit_with(2, KILLED, Tally { requests: 9, unanswered: 5, open: 7, errors: 0 });
    let report = report_of(&mut world, ticket);
    let fates = report.slots.iter().map(|s| (s.finished, s.handed_off, s.aborted, s.requests_failed));
    let expected =
        [(Some(3), Some(40), Some(2), Some(1)), (None, None, Some(7), Some(5)), (None, None, Some(0), Some(0))];
    assert_eq!(fates.collect::<Vec<_>>(), expected);
    let text = "generation 1 serves in 3 slots after 30.0s: ready within 0.0ns, drained within 30.0s, \
                1 killed while draining; connections: 40 handed off, 3 finished, 9 cut; 6 requests failed";
    assert_eq!(report.to_string(), text);
}

#[test]
fn what_is_not_counted_is_not_reported() {
    let mut world = World::serving(policy(1));
    let ticket = world.reload();
    world.up(2);
    world.on(Event::Exited { id: NodeId::node(1), exit: Exit::Code(0), tally: None });
    let report = report_of(&mut world, ticket);
    assert_eq!((report.slots[0].aborted, report.slots[0].requests_failed), (None, None));
    let text = "generation 1 serves in 1 slots after 0.0ns: ready within 0.0ns, drained within 0.0ns";
    assert_eq!(report.to_string(), text);
    assert_eq!(report.slots[0].to_string(), "node-2 serves in slot 0, ready within 0.0ns; node-1 ended within 0.0ns");
}

#[test]
fn a_node_that_serves_has_not_drained() {
    let mut world = World::serving(policy(1));
    world.said_drained(1, Drained { finished: 3, handed_off: 40, aborted: 2, ..Drained::default() });
    let ticket = world.reload();
    world.up(2);
    world.exit(1, Exit::Code(0));
    assert_eq!(report_of(&mut world, ticket).slots[0].finished, None);
}

#[test]
fn a_reload_ends_a_crash_loop() {
    let mut world = World::serving(policy(1));
    world.exit(1, KILLED);
    for n in 2..=5 {
        world.pass(secs(1));
        world.exit(n, KILLED);
    }
    world.reload();
    world.up(6);
    world.exit(6, KILLED);
    assert_eq!(world.states([6, 7]), [Empty, Starting], "a new program has a clean record");
}
