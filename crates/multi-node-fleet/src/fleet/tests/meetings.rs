//! What meets: two commands at once, a command and a bad time, rules and a clock that jumps.

use std::time::{Duration, Instant};

use super::super::world::{KILLED, World, millis, policy, secs};
use super::super::{Canary, Event, Limits, Policy, Recycling};
use crate::command::{Command, CommandError};
use crate::status::Exit;
use crate::status::State::{Draining, Killing, Serving, Starting};

const STOP: Command = Command::Shutdown { now: false };
const STOP_NOW: Command = Command::Shutdown { now: true };

/// What has been said to a command so far.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    Busy(&'static str),
    ShuttingDown,
}

/// Gives two commands at the same moment.
fn both(first: Command, second: Command) -> (Said, Said) {
    let mut world = World::serving(policy(2));
    let tickets = [world.ask(first), world.ask(second)];
    let answers = world.answers();
    let said = |ticket| match answers.iter().find(|(to, _)| *to == ticket).map(|(_, answer)| answer) {
        None => Said::Nothing,
        Some(Err(CommandError::Busy { running })) if running == "reload" => Said::Busy("reload"),
        Some(Err(CommandError::Busy { running })) if running == "restart" => Said::Busy("restart"),
        Some(Err(CommandError::Busy { running })) if running == "scale" => Said::Busy("scale"),
        Some(Err(CommandError::ShuttingDown)) => Said::ShuttingDown,
        other => panic!("{first:?} and {second:?}: {other:?}"),
    };
    (said(tickets[0]), said(tickets[1]))
}

#[test]
fn of_two_commands_at_once_one_is_carried_out() {
    let (restart, scale) = (Command::Restart { slot: 0.into() }, Command::Scale { nodes: 3 });
    let commands = [(Command::Reload, "reload"), (restart, "restart"), (scale, "scale")];
    for (first, name) in commands {
        for (second, _) in commands {
            let said =
                if (first, second) == (Command::Reload, Command::Reload) { Said::Nothing } else { Said::Busy(name) };
            assert_eq!(both(first, second), (Said::Nothing, said), "{first:?}, {second:?}");
        }
        for stop in [STOP, STOP_NOW] {
            assert_eq!(both(first, stop), (Said::ShuttingDown, Said::Nothing), "{first:?}, {stop:?}");
            assert_eq!(both(stop, first), (Said::Nothing, Said::ShuttingDown), "{stop:?}, {first:?}");
        }
    }
    for (first, second) in [(STOP, STOP), (STOP, STOP_NOW), (STOP_NOW, STOP), (STOP_NOW, STOP_NOW)] {
        assert_eq!(both(first, second), (Said::Nothing, Said::Nothing), "both are answered at the end");
    }
}

#[test]
fn a_second_shutdown_at_once_kills_what_the_first_lets_drain() {
    let mut world = World::serving(policy(2));
    let tickets = [world.shutdown(false), world.shutdown(true)];
    assert_eq!(world.all(Killing), [1, 2]);
    [1, 2].into_iter().for_each(|n| world.exit(n, KILLED));
    assert_eq!(world.answers().iter().map(|(to, _)| *to).collect::<Vec<_>>(), tickets);
    assert_eq!(world.finished(), [Ok(())]);
}

#[test]
fn a_reload_in_a_crash_loop_tries_the_new_program_at_once() {
    let mut world = World::serving(policy(2));
    world.exit(1, KILLED);
    for n in 3..=6 {
        world.pass(secs(1));
        world.exit(n, KILLED);
    }
    let reload = world.reload();
    assert_eq!(world.status(), [(0, Starting, 7, 1), (1, Serving, 2, 0)], "and not after the longest pause");
    world.exit(7, KILLED);
    assert!(world.failure_of(reload).starts_with("node-7 in slot 0 ended by SIGKILL"));
    assert_eq!(world.status(), [(0, Starting, 8, 0), (1, Serving, 2, 0)], "the slot goes on with the old program");
    world.exit(8, KILLED);
    world.pass(secs(29));
    assert_eq!(world.spawned().last(), Some(&8));
    world.pass(secs(1));
    assert_eq!(world.spawned(), [9], "and with its longest pause");
}

#[test]
fn a_slot_that_rests_may_be_scaled_away() {
    let mut world = World::serving(policy(2));
    world.exit(2, KILLED);
    world.exit(3, KILLED);
    let ticket = world.scale(1);
    world.answer_to(ticket).expect("there is nobody to wait for");
    world.spawned();
    world.pass(secs(60));
    assert!(world.spawned().is_empty(), "its rest ends without a node");
    let ticket = world.scale(2);
    world.up(4);
    world.answer_to(ticket).expect("scaled");
    world.exit(4, KILLED);
    assert_eq!(world.spawned(), [4, 5], "a slot that comes back has a clean record");
}

/// Everything that goes by the clock.
fn timed() -> Policy {
    Policy {
        hang_timeout: Some(secs(10)),
        recycling: Recycling { max_age: Some(secs(3600)), max_requests: Some(1000), ..Recycling::default() },
        canary: Some(Canary { duration: secs(60), limits: Limits { min_requests: 100, margin: 0.01 } }),
        ..policy(2)
    }
}

#[test]
fn a_clock_that_jumps_ahead_costs_each_deadline_once() {
    let year = Duration::from_secs(366 * 24 * 3600);
    let mut world = World::serving(timed());
    world.now += year;
    world.on(Event::Late(year));
    world.beat_all();
    world.on(Event::Tick);
    assert_eq!((world.all(Serving), world.signals(), world.examinations()), (vec![1, 2], vec![], vec![]));
    assert_eq!(world.spawned(), [3], "both are old enough to be recycled, one after the other");
}

#[test]
fn a_clock_that_jumps_back_stops_nothing() {
    let mut world = World::serving(timed());
    let reload = world.reload();
    world.up(3);
    world.now = world.now.checked_sub(secs(1)).unwrap_or_else(Instant::now);
    world.on(Event::Tick);
    world.counts(&[]);
    world.pass(secs(61));
    world.counts(&[]);
    assert_eq!(world.all(Draining), [1], "the trial is over a second later");
    world.exit(1, Exit::Code(0));
    world.up(4);
    world.pass(millis(1));
    world.exit(2, Exit::Code(0));
    world.answer_to(reload).expect("a report");
}
