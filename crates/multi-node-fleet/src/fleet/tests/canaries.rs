use std::time::Duration;

use super::super::world::{KILLED, World, millis, policy, secs};
use super::super::{Canary, Event, Level, Limits, Policy, Tally, Ticket};
use crate::command::{CanaryReport, CommandError, Report, RequestCounts};
use crate::id::NodeId;
use crate::status::Exit;
use crate::status::State::{Draining, Killing, Serving, Starting};

const DURATION: Duration = secs(60);

fn tried(nodes: usize) -> Policy {
    let limits = Limits { min_requests: 100, margin: 0.01 };
    Policy { canary: Some(Canary { duration: DURATION, limits }), ..policy(nodes) }
}

/// A reload whose first new node is `nodes + 1`, in slot 0, and has just begun its trial.
fn on_trial(policy: Policy) -> (World, Ticket) {
    let first = policy.nodes as u64 + 1;
    let mut world = World::serving(policy);
    let ticket = world.reload();
    world.up(first);
    world.counts(&[]);
    (world, ticket)
}

fn rolled_back(world: &mut World, ticket: Ticket) -> String {
    match world.answer_to(ticket) {
        Err(CommandError::RolledBack { why, .. }) => why,
        other => panic!("not rolled back: {other:?}"),
    }
}

fn report(world: &mut World, ticket: Ticket) -> CanaryReport {
    match world.answer_to(ticket) {
        Ok(Report::Reload(report)) => report.canary.expect("there was a trial"),
        other => panic!("no report: {other:?}"),
    }
}

#[test]
fn the_old_node_pauses_and_stays_until_the_verdict() {
    let (mut world, ticket) = on_trial(Policy { surge: 2, ..tried(3) });
    assert_eq!((world.paused(), world.drained(), world.spawned()), (vec![1], vec![], vec![4]));
    assert_eq!(world.all(Serving), [1, 2, 3, 4]);
    world.said(Level::Info, "serves on trial for 60 s");
    world.pass(millis(59_999));
    assert_eq!((world.drained(), world.spawned()), (vec![], vec![]));
    world.pass(millis(1));
    world.counts(&[]);
    assert_eq!((world.resumed(), world.drained(), world.spawned()), (vec![4], vec![1], vec![5, 6]));
    [5, 6].into_iter().for_each(|n| world.up(n));
    [1, 2, 3].into_iter().for_each(|n| world.exit(n, Exit::Code(0)));
    let report = report(&mut world, ticket);
    assert_eq!((report.node, report.watched, report.by_answers), (NodeId::node(4), DURATION, false));
    assert!(world.paused().is_empty(), "only the first is tried");
}

#[test]
fn one_that_fails_more_than_the_old_ones_is_taken_back() {
    let (mut world, ticket) = on_trial(tried(2));
    world.pass(secs(3));
    world.counts(&[(3, 99, 99), (1, 0, 0), (2, 400, 1)]);
    assert!(world.drained().is_empty(), "of 99 requests there is no verdict");
    world.counts(&[(3, 120, 57), (1, 10, 0), (2, 400, 1)]);
    let why = "node-3 had server errors in 57 of 120 requests, and the old nodes in 1 of 410 requests";
    assert_eq!(rolled_back(&mut world, ticket), why);
    assert_eq!((world.resumed(), world.drained(), world.spawned()), (vec![1], vec![3], vec![3]));
    world.exit(3, Exit::Code(0));
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Serving, 2, 0)]);
    assert_eq!(world.restarts(), [0, 0]);
}

#[test]
fn one_that_fails_no_more_than_the_old_ones_passes() {
    let (mut world, ticket) = on_trial(tried(1));
    world.pass(DURATION);
    world.counts(&[(1, 1000, 100), (2, 500, 55)]);
    world.exit(1, Exit::Code(0));
    let report = report(&mut world, ticket);
    assert!(report.by_answers);
    let expected = (RequestCounts { requests: 500, errors: 55 }, RequestCounts { requests: 1000, errors: 100 });
    assert_eq!((report.new, report.old), expected);
}

#[test]
fn what_was_before_the_trial_counts_only_where_the_old_nodes_have_little_to_do() {
    for (in_window, passes) in [(0, true), (1000, false)] {
        let mut world = World::serving(tried(1));
        world.reload();
        world.up(2);
        world.counts(&[(1, 5000, 500)]);
        world.pass(secs(1));
        world.counts(&[(1, 5000 + in_window, 500), (2, 500, 50)]);
        assert_eq!(world.drained().is_empty(), passes, "{in_window} requests since");
    }
}

#[test]
fn requests_under_way_are_no_answers() {
    let (mut world, _) = on_trial(tried(1));
    world.pass(secs(1));
    let tally = Tally { requests: 150, unanswered: 60, errors: 90, open: 0 };
    world.on(Event::Counted { tallies: vec![(NodeId::node(2), tally)] });
    assert!(world.drained().is_empty(), "90 answers are too few");
}

#[test]
fn one_that_dies_is_rolled_back() {
    let (mut world, ticket) = on_trial(tried(2));
    world.exit(3, Exit::Signal(11));
    assert_eq!(rolled_back(&mut world, ticket), "node-3 in slot 0 ended by SIGSEGV while serving");
    assert_eq!((world.resumed(), world.spawned()), (vec![1], vec![3]));
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Serving, 2, 0)]);
}

#[test]
fn one_that_hangs_is_rolled_back_before_it_has_ended() {
    let (mut world, ticket) = on_trial(Policy { hang_timeout: Some(secs(10)), ..tried(2) });
    world.beats = false;
    world.pass(secs(9));
    [1, 2].into_iter().for_each(|n| world.on(Event::Beat { id: NodeId::node(n) }));
    world.pass(secs(1));
    world.examined(3, false);
    let why = "node-3 in slot 0 did not stand its trial: its runtime was silent for 10 s";
    assert_eq!((rolled_back(&mut world, ticket), world.resumed()), (why.to_owned(), vec![1]));
    assert_eq!(world.states([3]), [Killing]);
    world.exit(3, Exit::Signal(6));
    assert_eq!((world.all(Serving), world.spawned()), (vec![1, 2], vec![3]));
}

#[test]
fn one_that_is_silent_at_the_end_is_waited_for() {
    let (mut world, _) = on_trial(Policy { hang_timeout: Some(secs(120)), ..tried(1) });
    world.beats = false;
    world.pass(secs(62));
    world.counts(&[]);
    assert!(world.drained().is_empty());
    world.on(Event::Beat { id: NodeId::node(2) });
    assert_eq!(world.drained(), [1]);
}

#[test]
fn one_that_leaves_is_rolled_back() {
    let (mut world, ticket) = on_trial(tried(1));
    world.leaving(2);
    assert_eq!(rolled_back(&mut world, ticket), "node-2 in slot 0 did not stand its trial: it left by itself");
    assert_eq!((world.resumed(), world.states([1, 2])), (vec![1], [Serving, Draining]));
}

#[test]
fn one_that_does_not_come_up_has_no_trial() {
    let mut world = World::serving(tried(1));
    let ticket = world.reload();
    world.exit(2, Exit::Code(1));
    assert!(world.failure_of(ticket).contains("while starting"));
    assert_eq!((world.paused(), world.resumed()), (vec![], vec![]));
}

#[test]
fn an_old_node_that_dies_meanwhile_is_replaced_after_a_bad_verdict() {
    let (mut world, ticket) = on_trial(tried(1));
    world.exit(1, KILLED);
    world.said(Level::Warn, "node-2, which is starting, takes its slot");
    world.pass(secs(1));
    world.counts(&[(2, 200, 200)]);
    rolled_back(&mut world, ticket);
    assert_eq!(world.status(), [(0, Starting, 3, 0), (0, Draining, 2, 1)]);
}

#[test]
fn a_shutdown_overtakes_a_trial() {
    let (mut world, ticket) = on_trial(Policy { shutdown_delay: secs(5), ..tried(1) });
    world.shutdown(false);
    assert_eq!(world.answer_to(ticket), Err(CommandError::ShuttingDown));
    assert_eq!(world.resumed(), [1], "it goes on accepting for the delay");
    world.pass(secs(5));
    assert_eq!(world.all(Draining), [1, 2]);
}

#[test]
fn a_master_that_did_not_run_gives_the_trial_the_time_that_it_missed() {
    let (mut world, _) = on_trial(tried(1));
    world.now += secs(100);
    world.on(Event::Late(secs(100)));
    world.pass(secs(59));
    world.counts(&[]);
    assert!(world.drained().is_empty());
    world.pass(secs(1));
    world.counts(&[]);
    assert_eq!(world.drained(), [1]);
}

#[test]
fn a_restart_has_no_trial() {
    let mut world = World::serving(tried(1));
    world.restart(0);
    assert!(!world.fleet.tries(NodeId::node(2)));
    world.up(2);
    assert_eq!((world.drained(), world.paused()), (vec![1], vec![]));
}

#[test]
fn only_the_first_new_node_is_told_that_it_is_tried() {
    let mut world = World::serving(tried(2));
    world.reload();
    assert_eq!([1, 2, 3].map(|n| world.fleet.tries(NodeId::node(n))), [false, false, true]);
    world.up(3);
    world.counts(&[]);
    world.pass(DURATION);
    world.counts(&[]);
    assert_eq!((world.spawned(), world.fleet.tries(NodeId::node(4))), (vec![3, 4], false));
}
