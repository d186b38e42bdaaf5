use std::time::Duration;

use super::super::world::{KILLED, World, millis, policy, secs};
use super::super::{Event, Fatal, Level, Policy};
use crate::id::NodeId;
use crate::status::Exit;
use crate::status::State::{BackingOff, Draining, Empty, Failed, Serving, Starting};

/// How long the slot rests until its next node is started.
fn rest(world: &World) -> Duration {
    world.fleet.slots[0].rests_until().map_or(Duration::ZERO, |until| until - world.now)
}

#[test]
fn a_killed_node_is_replaced_at_once() {
    let mut world = World::serving(policy(2));
    world.exit(1, KILLED);
    assert_eq!(world.spawned(), [3]);
    world.said(Level::Warn, "ended by SIGKILL while serving; starting again at once");
    assert_eq!(world.restarts(), [1, 0]);
    assert_eq!(world.status(), [(0, Starting, 3, 0), (1, Serving, 2, 0)]);
}

#[test]
fn an_exit_with_code_0_of_a_node_that_served_is_a_recycling() {
    let mut world = World::serving(policy(2));
    for n in 1..=20 {
        world.pass(millis(800));
        world.exit(n, Exit::Code(0));
        assert_eq!(world.spawned(), [n + 2], "no pause, however often");
        world.up(n + 2);
    }
    world.said(
        Level::Info,
        "ended with exit code 0 after it had served for 800 ms: its program recycles it; starting again at once",
    );
    assert_eq!(world.restarts(), [0, 0]);
    world.exit(21, KILLED);
    world.said(Level::Warn, "ended by SIGKILL while serving; starting again at once");
}

#[test]
fn an_exit_with_code_0_right_after_the_start_does_not_make_the_fleet_spin() {
    let mut world = World::serving(policy(1));
    for n in 1..=20 {
        world.exit(n, Exit::Code(0));
        assert_eq!(rest(&world), millis(100));
        world.pass(millis(100));
        world.up(n + 1);
    }
    assert_eq!(world.restarts(), [0]);
}

#[test]
fn an_exit_with_code_0_is_a_death_of_a_node_that_never_served_or_was_at_fault() {
    let mut world = World::serving(policy(1));
    world.on(Event::Broken { id: NodeId::node(1), why: String::from("nonsense") });
    world.exit(1, Exit::Code(0));
    world.said(Level::Warn, "ended with exit code 0 while serving: its control channel broke: nonsense");
    world.hello(2);
    world.exit(2, Exit::Code(0));
    world.said(Level::Warn, "ended with exit code 0 while initializing; starting again in 100 ms");
    assert_eq!(world.restarts(), [2]);
}

#[test]
fn a_crash_loop_goes_on_at_the_longest_backoff_once_there_was_a_ready_node() {
    let mut world = World::started(policy(2));
    world.up(2);
    let mut node = 1;
    let mut rests = Vec::new();
    for _ in 0..7 {
        world.up(node);
        world.exit(node, Exit::Code(1));
        rests.push(rest(&world).as_millis());
        world.pass(rest(&world));
        node = *world.spawned().last().expect("another one");
    }
    assert_eq!(rests, [0, 100, 200, 400, 30_000, 30_000, 30_000]);
    world.said(Level::Error, "crash loop: 5 deaths within 60 s");
    assert_eq!(world.restarts(), [7, 0]);
    world.up(node);
    world.pass(secs(60));
    world.exit(node, KILLED);
    assert_eq!(rest(&world), Duration::ZERO, "a stable run is a new beginning");
}

#[test]
fn the_last_slot_that_served_never_rests_while_no_other_serves() {
    let mut world = World::serving(policy(2));
    let mut node = 1;
    for _ in 0..10 {
        world.exit(node, Exit::Code(1));
        world.pass(rest(&world));
        node = *world.spawned().last().expect("another one");
        world.up(node);
    }
    world.exit(node, Exit::Code(1));
    assert_eq!(world.status()[0].1, BackingOff, "the other one serves");
    let mut last = 2;
    for _ in 0..5 {
        world.pass(millis(100));
        world.exit(last, KILLED);
        let started = world.spawned();
        assert_eq!(started.len(), 1, "at once");
        last = started[0];
        world.up(last);
    }
    assert_eq!(world.status()[0].1, BackingOff);
}

#[test]
fn a_crash_loop_before_the_first_ready_ends_the_program() {
    let mut world = World::started(policy(2));
    world.hello(2);
    world.exit(1, Exit::Code(101));
    for n in 3..6 {
        world.exit(n, Exit::Code(101));
        world.pass(rest(&world));
    }
    let rests = world.fleet.slots[0].rests_until();
    assert_eq!(rests, None);
    world.exit(6, Exit::Code(101));
    world.said(Level::Warn, "giving up, since no node was ever ready and this is death 5 in its slot");
    assert_eq!(world.signals(), [(2, Fatal::Kill)]);
    assert_eq!(world.status()[0], (0, Failed, 6, 0));
    assert_eq!(world.finished(), []);
    world.exit(2, KILLED);
    assert_eq!(world.finished(), [Err(String::from("node-6 in slot 0 ended with exit code 101 while starting"))]);
}

#[test]
fn a_program_that_reaches_listen_in_no_slot_ends_at_once() {
    let mut world = World::started(policy(2));
    world.exit(1, Exit::Code(1));
    world.said(Level::Warn, "ended with exit code 1 while starting; starting again at once");
    world.exit(2, Exit::Code(1));
    world.said(
        Level::Warn,
        "ended with exit code 1 while starting; giving up, since no slot's node has reached `listen`",
    );
    world.exit(3, KILLED);
    let why = "node-2 in slot 1 ended with exit code 1 while starting: it did not reach `listen`; code before `listen` runs in \
        every process, so what only one may do, such as taking a port or a lock, belongs after it";
    assert_eq!(world.finished(), [Err(String::from(why))]);
}

#[test]
fn a_command_is_given_its_chance_before_a_program_that_reaches_listen_nowhere_ends() {
    let mut world = World::started(policy(2));
    world.exit(1, Exit::Code(1));
    world.restart(0);
    world.exit(2, Exit::Code(1));
    assert_eq!((world.finished(), world.status()[1].1), (vec![], Starting));
}

#[test]
fn a_signal_before_listen_is_another_matter_and_so_is_another_program() {
    let mut world = World::started(policy(1));
    world.exit(1, KILLED);
    assert_eq!(world.spawned(), [1, 2], "somebody has killed it");
    let mut world = World::started(Policy { same_program: false, ..policy(1) });
    world.exit(1, Exit::Code(1));
    assert_eq!(world.spawned(), [1, 2], "it has no `listen`");
    let mut world = World::started(policy(2));
    world.hello(1);
    world.exit(2, Exit::Code(1));
    world.exit(1, Exit::Code(1));
    assert_eq!(world.finished(), [], "`listen` is reached");
}

#[test]
fn a_program_that_was_never_ready_gives_up_however_far_apart_its_deaths_are() {
    let mut world = World::started(Policy { same_program: false, ..policy(1) });
    for n in 1..=5 {
        world.pass(secs(50));
        world.exit(n, Exit::Code(101));
        world.pass(rest(&world));
    }
    assert_eq!(world.finished(), [Err(String::from("node-5 in slot 0 ended with exit code 101 while starting"))]);
}

#[test]
fn a_hopeless_start_ends_a_program_that_was_never_ready() {
    let mut world = World::started(policy(1));
    world.hello(1);
    world.hopeless(1, "nobody waits");
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
    world.exit(1, KILLED);
    world.said(Level::Warn, "giving up, since no node was ever ready and another start would end in the same way");
    assert_eq!(
        world.finished(),
        [Err(String::from("node-1 in slot 0 ended by SIGKILL while initializing: nobody waits"))]
    );
}

#[test]
fn later_it_is_a_death_as_any_other() {
    let mut world = World::serving(policy(1));
    world.hopeless(1, "it is ready");
    assert_eq!(world.states([1]), [Serving]);
    world.exit(1, KILLED);
    world.hello(2);
    world.hopeless(2, "nobody waits");
    world.exit(2, KILLED);
    world.said(Level::Warn, "while initializing: nobody waits; starting again in 100 ms");
    assert_eq!(world.finished(), []);
}

#[test]
fn a_ready_node_anywhere_keeps_the_program_trying() {
    let mut world = World::started(policy(2));
    world.up(2);
    for n in [1, 3, 4, 5, 6] {
        world.exit(n, Exit::Code(101));
        world.pass(rest(&world));
    }
    assert_eq!(world.finished(), []);
    assert_eq!(world.states([2, 7]), [Serving, Starting]);
}

#[test]
fn a_process_that_cannot_be_started_is_a_death_with_that_cause() {
    let mut world = World::serving(policy(1));
    world.spawns = Err(String::from("out of memory"));
    world.exit(1, KILLED);
    world.said(Level::Warn, "could not be started: out of memory; starting again in 100 ms");
    assert_eq!(world.restarts(), [2]);
    world.spawns = Ok(());
    world.pass(millis(100));
    world.up(3);
    assert_eq!(world.status(), [(0, Serving, 3, 0)]);
}

#[test]
fn a_program_that_cannot_be_started_at_all_ends_the_fleet() {
    let mut world = World::unborn(policy(1));
    world.spawns = Err(String::from("permission denied"));
    world.on(Event::Start);
    world.pass(secs(10));
    assert_eq!(world.finished(), [Err(String::from("node-5 in slot 0 could not be started: permission denied"))]);
    assert_eq!(world.fleet.next_deadline(), None);
}

#[test]
fn a_respawn_waits_when_the_signal_may_be_on_its_way_to_the_master() {
    for (signal, wait) in [(15, 50), (1, 50), (2, 50), (9, 0), (11, 0)] {
        let mut world = World::serving(policy(1));
        world.exit(1, Exit::Signal(signal));
        assert_eq!(rest(&world), millis(wait), "signal {signal}");
    }
}

#[test]
fn a_node_that_leaves_is_replaced_and_its_exit_is_no_death() {
    let mut world = World::serving(policy(1));
    world.leaving(1);
    assert_eq!(world.states([1]), [Draining]);
    assert_eq!(rest(&world), millis(50));
    world.pass(millis(50));
    assert_eq!(world.status(), [(0, Starting, 2, 0), (0, Draining, 1, 0)]);
    world.exit(1, Exit::Code(3));
    assert_eq!(world.restarts(), [0]);
    world.said(Level::Info, "ended with exit code 3, drained in 50 ms");
}

#[test]
fn a_node_that_somebody_else_kills_while_it_drains_has_not_drained() {
    for (signal, level, text) in [
        (9, Level::Warn, "ended by SIGKILL while draining, and not by its master"),
        (11, Level::Warn, "ended by SIGSEGV while draining, and not by its master"),
        (15, Level::Info, "ended by SIGTERM, drained in 50 ms"),
    ] {
        let mut world = World::serving(policy(1));
        world.leaving(1);
        world.pass(millis(50));
        world.exit(1, Exit::Signal(signal));
        world.said(level, text);
    }
}

#[test]
fn a_node_that_leaves_and_stays_is_killed_at_the_drain_deadline() {
    let mut world = World::serving(policy(1));
    world.leaving(1);
    world.pass(secs(29));
    assert_eq!(world.states([1]), [Draining]);
    world.pass(secs(1));
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
    world.said(Level::Warn, "had not drained within 30 s");
    world.exit(1, KILLED);
    assert_eq!(world.restarts(), [0]);
}

#[test]
fn nodes_that_leave_at_once_do_not_make_the_fleet_spin() {
    let mut world = World::serving(policy(1));
    let mut rests = Vec::new();
    for n in 1..=12 {
        if n > 1 {
            world.up(n);
        }
        world.leaving(n);
        world.exit(n, Exit::Code(0));
        rests.push(rest(&world).as_millis());
        world.pass(rest(&world));
    }
    assert_eq!(rests, [50, 100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000, 1000, 1000], "no other one serves");
    assert_eq!(world.restarts(), [0]);
}

#[test]
fn leaving_before_ready_is_a_failed_start() {
    let mut world = World::started(policy(1));
    world.hello(1);
    world.leaving(1);
    world.exit(1, Exit::Code(0));
    world.said(Level::Warn, "while initializing: it left before it was ready; starting again in 50 ms");
    assert_eq!(world.restarts(), [1]);
}

#[test]
fn without_restart_slots_stay_empty_until_no_node_is_left() {
    let mut world = World::serving(Policy { restart: false, ..policy(2) });
    world.exit(1, Exit::Code(0));
    world.said(Level::Warn, "not replaced, since `restart` is off");
    assert_eq!(world.status(), [(0, Empty, 1, 0), (1, Serving, 2, 0)]);
    assert_eq!(world.finished(), []);
    world.exit(2, Exit::Signal(11));
    assert_eq!(world.finished(), [Err(String::from("node-2 in slot 1 ended by SIGSEGV while serving"))]);
    assert_eq!(world.restarts(), [0, 0]);
    assert!(world.spawned().is_empty());
}

#[test]
fn a_resting_slot_is_seen_as_one() {
    let mut world = World::serving(policy(1));
    world.exit(1, KILLED);
    world.exit(2, KILLED);
    assert_eq!(world.status(), [(0, BackingOff, 2, 0)]);
    assert_eq!(world.fleet.next_deadline(), Some(world.now + millis(100)));
}
