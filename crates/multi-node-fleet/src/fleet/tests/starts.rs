use std::time::SystemTime;

use super::super::world::{KILLED, World, policy, secs};
use super::super::{Action, Event, Fatal, Level};
use crate::command::{Command, CommandError};
use crate::id::{Generation, NodeId};
use crate::status::State::{Empty, Initializing, Killing, Serving, Starting};
use crate::status::{Exit, State};

#[test]
fn every_slot_is_filled_once_the_program_is_found() {
    let mut world = World::unborn(policy(3));
    assert_eq!(world.fleet.next_deadline(), None);
    world.on(Event::Start);
    assert_eq!(world.done[0], Action::Resolve { generation: Generation(0) });
    assert_eq!(world.spawned(), [1, 2, 3]);
    assert_eq!(world.status(), [(0, Starting, 1, 0), (1, Starting, 2, 0), (2, Starting, 3, 0)]);
}

#[test]
fn a_program_that_cannot_be_found_ends_the_fleet() {
    let mut world = World::unborn(policy(3));
    world.resolves = Err(String::from("no such file"));
    world.on(Event::Start);
    assert_eq!(world.finished(), [Err(String::from("no such file"))]);
    assert!(world.spawned().is_empty());
}

#[test]
fn commands_before_the_start_are_refused_as_busy() {
    let mut world = World::unborn(policy(1));
    let ticket = world.reload();
    assert_eq!(world.answer_to(ticket), Err(CommandError::Busy { running: String::from("start") }));
}

#[test]
fn a_node_goes_from_starting_over_joining_to_serving() {
    let mut world = World::started(policy(1));
    world.hello(1);
    assert_eq!(world.states([1]), [Initializing]);
    world.pass(secs(2));
    world.ready(1);
    assert_eq!(world.states([1]), [Serving]);
    world.said(Level::Info, "ready after 2 s");
    assert_eq!(world.fleet.next_deadline(), None, "a serving node is waited for by nobody");
}

#[test]
fn a_node_that_asks_for_more_time_gets_it_while_it_starts_or_drains() {
    let mut world = World::started(policy(1));
    world.hello(1);
    world.on(Event::Extended { id: NodeId::node(1), by: secs(1) });
    let start_timeout = world.fleet.next_deadline().expect("its start is waited for");
    world.on(Event::Extended { id: NodeId::node(1), by: secs(1000) });
    let extended = world.fleet.next_deadline().expect("its start is waited for");
    assert_eq!(extended, world.now + secs(1000), "longer than {start_timeout:?}, which a second did not shorten");
    world.ready(1);
    world.on(Event::Extended { id: NodeId::node(1), by: secs(1) });
    assert_eq!(world.fleet.next_deadline(), None, "a serving node is waited for by nobody");
}

#[test]
fn a_program_that_turns_out_to_link_the_crate_is_joined_once_more() {
    let mut world = World::started(policy(3));
    world.hello(1);
    world.up(2);
    assert_eq!(world.joins(), [(1, vec![]), (2, vec![1])]);
    world.on(Event::Linked { id: NodeId::node(1) });
    world.on(Event::Linked { id: NodeId::node(2) });
    assert_eq!(world.joins(), [(1, vec![2]), (2, vec![1])], "also where it was taken for ready before");
    world.leaving(2);
    world.on(Event::Linked { id: NodeId::node(2) });
    assert_eq!(world.joins(), [(2, vec![1])], "also while it drains");
}

#[test]
fn each_pair_is_joined_by_the_later_hello() {
    let mut world = World::started(policy(4));
    world.hello(3);
    world.hello(1);
    world.ready(3);
    world.hello(4);
    assert_eq!(world.joins(), [(3, vec![]), (1, vec![3]), (4, vec![1, 3])]);
    world.leaving(3);
    world.failed(1, "no database");
    world.hello(2);
    assert_eq!(world.joins(), [(2, vec![3, 4])], "also one that drains, but none that has failed");
}

#[test]
fn a_node_that_does_not_become_ready_in_time_is_killed() {
    let mut world = World::started(policy(2));
    world.hello(2);
    world.pass(secs(59));
    assert_eq!(world.states([1, 2]), [Starting, Initializing]);
    world.pass(secs(1));
    assert_eq!(world.signals(), [(1, Fatal::Kill), (2, Fatal::Kill)]);
    world.said(Level::Warn, "did not become ready within 60 s (last state: starting: never reached `listen`)");
    world.said(Level::Warn, "did not become ready within 60 s (last state: initializing: reached `listen`");
    world.exit(1, KILLED);
    world.said(Level::Warn, "ended by SIGKILL while starting: it did not become ready within 60 s");
}

#[test]
fn what_another_program_lacks_is_the_cause_of_its_end() {
    let mut world = World::started(policy(2));
    for id in [1, 2] {
        world.hello(id);
        world.on(Event::Runs { id: NodeId::node(id), lacks: String::from("nobody listens") });
    }
    world.on(Event::Linked { id: NodeId::node(2) });
    world.pass(secs(60));
    world.said(Level::Warn, "killing it while initializing: it did not become ready within 60 s: nobody listens");
    world.said(Level::Warn, "did not become ready within 60 s (last state: initializing: reached `listen`");
}

#[test]
fn the_time_to_start_counts_from_the_spawn() {
    let mut world = World::unborn(policy(1));
    world.fleet.on(world.now, Event::Start);
    world.fleet.on(world.now, Event::Resolved { generation: Generation(0), result: Ok(()) });
    world.now += secs(50);
    world.on(Event::Spawned { id: NodeId::node(1), result: Ok(1001) });
    world.pass(secs(59));
    assert_eq!(world.states([1]), [Starting]);
    world.pass(secs(1));
    assert_eq!(world.states([1]), [Killing]);
}

#[test]
fn a_process_that_comes_after_its_time_is_killed_at_once() {
    let mut world = World::unborn(policy(1));
    world.fleet.on(world.now, Event::Start);
    world.fleet.on(world.now, Event::Resolved { generation: Generation(0), result: Ok(()) });
    world.now += secs(60);
    world.on(Event::Tick);
    assert_eq!(world.signals(), [], "there is no process to signal");
    world.on(Event::Spawned { id: NodeId::node(1), result: Ok(1001) });
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
}

#[test]
fn a_failed_start_is_reported_with_its_cause() {
    let mut world = World::started(policy(1));
    world.hello(1);
    world.failed(1, "no database");
    world.exit(1, Exit::Code(1));
    world.said(Level::Warn, "ended with exit code 1 while initializing: no database; starting again at once");
    assert_eq!(world.signals(), []);
}

#[test]
fn a_failed_start_that_does_not_end_is_ended() {
    let mut world = World::started(policy(1));
    world.failed(1, "no database");
    world.pass(secs(5));
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
    world.exit(1, KILLED);
    world.said(Level::Warn, "ended by SIGKILL while starting: no database");
}

#[test]
fn sigkill_is_repeated_until_it_works() {
    let mut world = World::started(policy(1));
    world.pass(secs(60));
    world.signals();
    for waited in ["5 s", "10 s"] {
        world.pass(secs(5));
        assert_eq!(world.signals(), [(1, Fatal::Kill)]);
        world.said(Level::Warn, &format!("still there {waited} after SIGKILL, so it is in uninterruptible sleep"));
    }
    world.exit(1, KILLED);
    assert_eq!(world.all(Starting), [2]);
}

#[test]
fn a_node_that_speaks_out_of_turn_is_killed() {
    type Story = fn(&mut World);
    let stories: [(&str, Story); 7] = [
        ("ready before it said hello", |w| w.ready(1)),
        ("leaves before it said hello", |w| w.leaving(1)),
        ("said hello twice", |w| (w.hello(1), w.hello(1)).1),
        ("said hello twice", |w| (w.up(1), w.hello(1)).1),
        ("said twice that it was ready", |w| (w.up(1), w.ready(1)).1),
        ("ready after it had failed", |w| (w.hello(1), w.failed(1, "x"), w.ready(1)).2),
        ("it failed: too late", |w| (w.up(1), w.failed(1, "too late")).1),
    ];
    for (why, story) in stories {
        let mut world = World::started(policy(1));
        story(&mut world);
        assert_eq!(world.signals(), [(1, Fatal::Kill)], "{why}");
        world.said(Level::Warn, why);
        world.exit(1, KILLED);
        world.said(Level::Warn, "starting again");
        assert_eq!(world.all(State::Starting), [2]);
    }
}

#[test]
fn a_broken_control_channel_costs_the_node() {
    for (steps, state) in [(0, "starting"), (1, "initializing"), (2, "serving")] {
        let mut world = World::started(policy(1));
        [World::hello, World::ready][..steps].iter().for_each(|step| step(&mut world, 1));
        world.on(Event::Broken { id: NodeId::node(1), why: String::from("frame too long") });
        assert_eq!(world.signals(), [(1, Fatal::Kill)]);
        world.exit(1, KILLED);
        let line = format!("ended by SIGKILL while {state}: its control channel broke: frame too long; starting again");
        world.said(Level::Warn, &line);
    }
}

#[test]
fn a_draining_node_may_lose_its_control_channel() {
    let mut world = World::serving(policy(1));
    world.leaving(1);
    world.on(Event::Broken { id: NodeId::node(1), why: String::from("EOF") });
    assert_eq!(world.signals(), []);
    world.pass(secs(30));
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
}

#[test]
fn news_of_unknown_nodes_are_ignored() {
    let mut world = World::serving(policy(1));
    world.exit(1, KILLED);
    world.done.clear();
    let (id, before) = (NodeId::node(1), world.status());
    for event in [
        Event::Hello { id },
        Event::Linked { id },
        Event::Ready { id: NodeId::MASTER },
        Event::Failed { id, why: String::new() },
        Event::Beat { id },
        Event::Leaving { id },
        Event::Broken { id, why: String::new() },
        Event::Examined { id, traced: false, report: String::new() },
        Event::Exited { id, exit: Exit::Code(0), tally: None },
        Event::Spawned { id, result: Err(String::new()) },
        Event::Spawned { id: NodeId::node(2), result: Err(String::from("already started")) },
        Event::Resolved { generation: Generation(7), result: Ok(()) },
        Event::Start,
    ] {
        world.on(event.clone());
        assert_eq!(world.done, [], "{event:?}");
    }
    assert_eq!(world.status(), before);
    assert_eq!(world.states([1]), [Empty]);
}

#[test]
fn a_late_master_gives_everybody_the_time_that_it_missed() {
    let mut world = World::started(policy(1));
    world.pass(secs(59));
    world.now += secs(1000);
    world.on(Event::Late(secs(1000)));
    world.on(Event::Tick);
    assert_eq!(world.states([1]), [Starting]);
    world.pass(secs(1));
    assert_eq!(world.states([1]), [Killing]);
}

#[test]
fn a_node_is_forgotten_after_its_end_and_once() {
    let mut world = World::serving(policy(1));
    world.exit(1, KILLED);
    world.exit(1, KILLED);
    let forgotten = world.done.iter().filter(|action| matches!(action, Action::Forget { .. })).count();
    assert_eq!(forgotten, 1);
    assert!(matches!(world.ask(Command::Scale { nodes: 1 }), ticket if world.answer_to(ticket).is_ok()));
}

#[test]
fn a_snapshot_tells_the_time_of_day_and_the_last_exit() {
    let mut world = World::serving(policy(1));
    world.pass(secs(7));
    let wall = SystemTime::UNIX_EPOCH + secs(100);
    let entry = |world: &World| world.fleet.snapshot(world.now, wall).slots[0].clone();
    assert_eq!((entry(&world).since, entry(&world).pid), (wall - secs(7), Some(1001)));
    assert!(world.fleet.snapshot(world.now, wall).is_ready());
    world.exit(1, KILLED);
    assert_eq!((entry(&world).since, entry(&world).last_exit), (wall, Some(KILLED)));
    world.shutdown(false);
    assert_eq!(world.fleet.snapshot(world.now, wall).wanted, 0, "none is meant to serve any more");
}

#[test]
fn only_the_program_that_is_looked_up_starts_the_fleet() {
    let mut world = World::unborn(policy(1));
    world.fleet.on(world.now, Event::Start);
    world.on(Event::Resolved { generation: Generation(1), result: Ok(()) });
    assert_eq!(world.spawned(), []);
    world.on(Event::Resolved { generation: Generation(0), result: Ok(()) });
    assert_eq!(world.spawned(), [1]);
}

#[test]
fn no_node_gets_more_time_before_its_hello_or_after_its_failure() {
    let mut world = World::started(policy(1));
    world.on(Event::Extended { id: NodeId::node(1), by: secs(1000) });
    assert_eq!(world.fleet.next_deadline(), Some(world.now + secs(60)));
    world.hello(1);
    world.failed(1, "no database");
    world.on(Event::Extended { id: NodeId::node(1), by: secs(1000) });
    assert_eq!(world.fleet.next_deadline(), Some(world.now + secs(5)));
}

#[test]
fn a_node_that_fails_and_stays_is_killed_for_that() {
    let mut world = World::started(policy(1));
    world.hello(1);
    world.failed(1, "no database");
    world.pass(secs(5));
    world.said(Level::Warn, "killing it while initializing: it failed, and did not end within 5 s");
}

#[test]
fn the_first_failure_that_a_node_tells_is_the_cause_of_its_end() {
    let mut world = World::started(policy(1));
    world.hello(1);
    world.failed(1, "no database");
    world.failed(1, "no second try");
    world.exit(1, Exit::Code(1));
    world.said(Level::Warn, "ended with exit code 1 while initializing: no database");
}

#[test]
fn levels_are_named_as_the_log_shows_them() {
    assert_eq!([Level::Info, Level::Warn, Level::Error].map(Level::name), ["info", "warn", "error"]);
}

#[test]
fn a_time_beyond_the_clock_is_a_century_away() {
    let now = std::time::Instant::now();
    assert_eq!(super::super::after(now, std::time::Duration::MAX), now + secs(3_153_600_000));
}

#[test]
fn a_snapshot_tells_what_a_slot_has_seen_with_a_node_and_without() {
    let mut world = World::serving(policy(1));
    let seen = |world: &World| {
        let entry = world.fleet.snapshot(world.now, SystemTime::UNIX_EPOCH).slots[0].clone();
        (entry.generation, entry.restarts, entry.last_exit)
    };
    world.reload();
    world.up(2);
    world.exit(1, Exit::Code(0));
    world.exit(2, KILLED);
    assert_eq!(seen(&world), (Generation(1), 1, Some(KILLED)), "node-3 starts");
    world.exit(3, Exit::Code(1));
    assert_eq!(world.status(), [(0, State::BackingOff, 3, 1)]);
    assert_eq!(seen(&world), (Generation(1), 2, Some(Exit::Code(1))));
}
