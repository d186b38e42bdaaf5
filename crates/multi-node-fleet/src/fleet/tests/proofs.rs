//! New nodes prove themselves before old nodes drain.

use std::time::Duration;

use super::super::world::{KILLED, World, millis, policy, secs};
use super::super::{Action, Canary, Event, Fatal, Level, Limits, Policy};
use crate::command::{CommandError, Report, Serving};
use crate::id::{Generation, NodeId};
use crate::status::Exit;
use crate::status::State::{Draining, Killing, Serving as Serves, Starting};

const SETTLE: Duration = secs(3);

/// All new nodes start beside the old ones.
fn together(nodes: usize) -> Policy {
    Policy { rolling: false, settle: SETTLE, max_nodes: 8, ..policy(nodes) }
}

fn unready(world: &mut World, n: u64) {
    world.on(Event::Unready { id: NodeId::node(n), why: String::from("nobody waits") });
}

fn settled(world: &World) -> Vec<u64> {
    let settled = world.done.iter().filter_map(|action| match action {
        Action::Settled { id } => Some(id.number()),
        _ => None,
    });
    settled.collect()
}

#[test]
fn all_old_nodes_serve_until_every_new_one_has_proved_itself() {
    let mut world = World::serving(together(3));
    let ticket = world.reload();
    assert_eq!(world.spawned(), [4, 5, 6], "all at once");
    world.up(5);
    world.pass(secs(2));
    world.up(4);
    world.pass(secs(2));
    world.up(6);
    world.pass(millis(2999));
    assert_eq!((world.drained(), world.all(Serves)), (vec![], vec![1, 2, 3, 4, 5, 6]));
    assert!(settled(&world).is_empty(), "they are watched still");
    world.pass(millis(1));
    assert_eq!(
        (world.drained(), world.answers()),
        (vec![1, 2, 3], vec![]),
        "it counts once, from the last that was ready"
    );
    assert_eq!(settled(&world), [4, 5, 6]);
    world.said(Level::Info, "generation 1 has proved itself: 3 new nodes serve");
    [1, 2, 3].into_iter().for_each(|n| world.exit(n, Exit::Code(0)));
    let Ok(Report::Reload(report)) = world.answer_to(ticket) else { panic!("a report") };
    assert_eq!((report.generation, report.slots.len()), (Generation(1), 3));
}

/// What the cause says, and how the node comes to it.
type Failure = (&'static str, fn(&mut World, u64));

/// Whatever ends a new node before the verdict, at whichever time and in whichever slot: no old one is touched.
#[test]
fn a_new_node_that_fails_before_the_verdict_costs_no_old_one() {
    let failures: [Failure; 5] = [
        ("ended with exit code 1 while serving", |world, n| world.exit(n, Exit::Code(1))),
        ("ended with exit code 0 while serving", |world, n| world.exit(n, Exit::Code(0))),
        ("ended by SIGKILL while serving", |world, n| world.exit(n, KILLED)),
        ("was ready, and is no more: nobody waits", unready),
        ("left by itself before it had proved itself", |world, n| world.leaving(n)),
    ];
    for (expected, fail) in failures {
        for at in [0, 500, 1500, 2900] {
            for n in [4, 5, 6] {
                let what = format!("{expected}: node-{n} after {at} ms");
                let mut world = World::serving(together(3));
                let ticket = world.reload();
                [4, 5, 6].into_iter().for_each(|n| world.up(n));
                world.pass(millis(at));
                fail(&mut world, n);
                let Err(CommandError::Failed { why, serving }) = world.answer_to(ticket) else { panic!("{what}") };
                assert!(why.starts_with(&format!("node-{n} in slot {}", n - 4)) && why.contains(expected), "{why}");
                assert_eq!(serving, Serving { nodes: 3, generations: vec![Generation(0); 3] }, "{what}");
                assert_eq!(serving.to_string(), "3 of 3 old nodes serve");
                assert_eq!(world.all(Serves), [1, 2, 3], "{what}");
                assert!(world.drained().iter().all(|n| *n > 3), "{what}");
                [4, 5, 6].into_iter().for_each(|n| world.exit(n, Exit::Code(0)));
                world.pass(secs(60));
                assert_eq!((world.spawned(), world.restarts()), (vec![4, 5, 6], vec![0, 0, 0]), "{what}");
            }
        }
    }
}

#[test]
fn a_new_node_that_fails_on_its_start_ends_the_others_too() {
    let mut world = World::serving(together(3));
    let ticket = world.reload();
    world.up(4);
    world.exit(5, Exit::Code(3));
    assert!(world.failure_of(ticket).contains("node-5 in slot 1 ended with exit code 3 while starting"));
    assert_eq!((world.drained(), world.signals()), (vec![4], vec![(6, Fatal::Kill)]));
    assert_eq!(world.states([1, 2, 3, 4, 6]), [Serves, Serves, Serves, Draining, Killing]);
}

#[test]
fn a_new_node_that_is_not_ready_in_time_ends_the_others_too() {
    let mut world = World::serving(together(2));
    let ticket = world.reload();
    world.up(3);
    world.pass(secs(60));
    world.exit(4, KILLED);
    assert!(world.failure_of(ticket).contains("did not become ready within 60 s"));
    assert_eq!(world.all(Serves), [1, 2]);
}

#[test]
fn a_new_node_that_may_hang_is_waited_for() {
    let mut world = World::serving(Policy { hang_timeout: Some(secs(10)), settle: secs(8), ..together(1) });
    let ticket = world.reload();
    world.up(2);
    world.beats = false;
    world.pass(secs(9));
    assert_eq!(world.all(Serves), [1, 2]);
    world.on(Event::Beat { id: NodeId::node(1) });
    world.pass(secs(1));
    world.examined(2, false);
    world.exit(2, Exit::Signal(6));
    assert!(world.failure_of(ticket).contains("its runtime was silent for 10 s"));
    assert_eq!(world.all(Serves), [1]);
}

#[test]
fn half_the_hang_timeout_and_a_second_is_no_sign_of_a_hang() {
    let mut world = World::serving(Policy { hang_timeout: Some(secs(10)), settle: secs(6), ..together(1) });
    world.reload();
    world.up(2);
    world.beats = false;
    world.pass(secs(6));
    assert_eq!(world.drained(), [1]);
}

#[test]
fn the_end_of_a_proof_is_waited_for() {
    let mut world = World::serving(Policy { settle: SETTLE, ..policy(1) });
    world.reload();
    assert_eq!(world.fleet.next_deadline(), Some(world.now + secs(60)), "its start");
    world.up(2);
    assert_eq!(world.fleet.next_deadline(), Some(world.now + SETTLE));
}

#[test]
fn only_new_nodes_of_a_command_have_to_prove_themselves() {
    for command in [World::reload, |world: &mut World| world.restart(0)] {
        let mut world = World::serving(Policy { settle: SETTLE, ..policy(1) });
        let has_to = |world: &World| [1, 2].map(|n| world.fleet.has_to_prove_itself(NodeId::node(n)));
        unready(&mut world, 1);
        world.said(Level::Warn, "not ready any more: nobody waits");
        command(&mut world);
        world.up(2);
        assert_eq!(has_to(&world), [false, true]);
        world.pass(SETTLE);
        assert_eq!(has_to(&world), [false, false]);
    }
}

#[test]
fn an_old_node_that_dies_meanwhile_is_replaced_by_its_successor_or_after_a_bad_verdict() {
    for good in [true, false] {
        let mut world = World::serving(together(2));
        world.reload();
        [3, 4].into_iter().for_each(|n| world.up(n));
        world.pass(secs(1));
        world.exit(1, KILLED);
        assert_eq!(world.spawned(), [3, 4], "its successor serves already");
        match good {
            true => world.pass(secs(2)),
            false => world.exit(4, Exit::Code(1)),
        }
        let expected = match good {
            true => vec![(0, Serves, 3, 1), (1, Serves, 4, 1), (1, Draining, 2, 0)],
            false => vec![(0, Starting, 5, 0), (0, Draining, 3, 1), (1, Serves, 2, 0)],
        };
        assert_eq!(world.status(), expected);
    }
}

#[test]
fn a_shutdown_ends_old_and_new_nodes() {
    let mut world = World::serving(together(2));
    let ticket = world.reload();
    [3, 4].into_iter().for_each(|n| world.up(n));
    world.shutdown(false);
    assert_eq!(world.answer_to(ticket), Err(CommandError::ShuttingDown));
    assert_eq!(world.drained(), [1, 2, 3, 4]);
}

#[test]
fn other_commands_wait_for_the_verdict_and_not_for_the_drains() {
    let mut world = World::serving(together(2));
    world.reload();
    let busy = Err(CommandError::Busy { running: String::from("reload") });
    let ticket = world.scale(3);
    assert_eq!(world.answer_to(ticket), busy);
    [3, 4].into_iter().for_each(|n| world.up(n));
    world.pass(secs(2));
    let ticket = world.restart(0);
    assert_eq!(world.answer_to(ticket), busy);
    world.pass(secs(1));
    world.scale(3);
    assert_eq!(world.status().last(), Some(&(2, Starting, 5, 1)));
}

#[test]
fn a_node_that_dies_after_the_verdict_is_restarted() {
    let mut world = World::serving(together(1));
    world.reload();
    world.up(2);
    world.pass(SETTLE);
    world.exit(2, KILLED);
    assert_eq!(world.status(), [(0, Starting, 3, 1), (0, Draining, 1, 0)]);
    assert_eq!(world.answers(), []);
    unready(&mut world, 3);
    world.up(3);
    unready(&mut world, 3);
    assert_eq!(world.states([3]), [Serves], "nobody judges it any more");
}

#[test]
fn rolling_each_new_node_proves_itself_before_its_old_one_ends() {
    for surge in [1, 2] {
        let mut world = World::serving(Policy { settle: SETTLE, surge, ..policy(2) });
        let ticket = world.reload();
        world.up(3);
        world.pass(millis(2999));
        assert!(world.drained().is_empty());
        world.pass(millis(1));
        assert_eq!(world.drained(), [1]);
        world.up(4);
        world.pass(secs(1));
        world.exit(4, Exit::Code(1));
        let Err(CommandError::Failed { serving, .. }) = world.answer_to(ticket) else { panic!("it fails") };
        let text =
            "2 of 2 slots serve: generation 1 in slot 0, generation 0 in slot 1; replaced slots cannot be taken back";
        assert_eq!(serving.to_string(), text);
        assert_eq!(world.all(Serves), [2, 3]);
    }
}

#[test]
fn a_restart_proves_itself_too() {
    let mut world = World::serving(together(2));
    let ticket = world.restart(1);
    world.up(3);
    world.pass(secs(1));
    world.exit(3, Exit::Code(1));
    assert!(world.failure_of(ticket).contains("node-3 in slot 1"));
    assert_eq!(world.all(Serves), [1, 2]);
    let ticket = world.restart(1);
    world.up(4);
    world.pass(SETTLE);
    assert_eq!(world.drained(), [2]);
    world.exit(2, Exit::Code(0));
    world.answer_to(ticket).expect("restarted");
}

#[test]
fn the_canary_is_tried_before_the_others_start() {
    let limits = Limits { min_requests: 100, margin: 0.01 };
    let mut world = World::serving(Policy { canary: Some(Canary { duration: secs(10), limits }), ..together(3) });
    world.reload();
    assert_eq!(world.spawned(), [4]);
    world.up(4);
    world.counts(&[]);
    assert_eq!(world.paused(), [1]);
    world.pass(secs(10));
    world.counts(&[]);
    assert_eq!((world.spawned(), world.resumed()), (vec![5, 6], vec![4, 1]), "the old node serves as before");
    [5, 6].into_iter().for_each(|n| world.up(n));
    world.pass(millis(2999));
    assert!(world.drained().is_empty());
    world.pass(millis(1));
    assert_eq!(world.drained(), [1, 2, 3]);
}

#[test]
fn the_time_that_the_master_missed_proves_nothing() {
    let mut world = World::serving(together(1));
    world.reload();
    world.up(2);
    world.now += secs(100);
    world.on(Event::Late(secs(100)));
    world.pass(millis(2999));
    assert!(world.drained().is_empty());
    world.pass(millis(1));
    assert_eq!(world.drained(), [1]);
}

#[test]
fn an_upgrade_follows_the_same_rule_before_its_exec() {
    let mut world = World::serving(together(2));
    let ticket = world.upgrade();
    world.preflighted(1, Ok(()));
    assert_eq!(world.spawned(), [3, 4]);
    [3, 4].into_iter().for_each(|n| world.up(n));
    world.pass(secs(2));
    world.exit(4, Exit::Code(1));
    assert!(world.failure_of(ticket).contains("node-4 in slot 1"));
    assert_eq!(world.all(Serves), [1, 2]);
}
