use super::super::world::{KILLED, World, millis, policy, secs};
use super::super::{Event, Fatal, Level, Policy};
use crate::command::{CommandError, Report};
use crate::status::Exit;
use crate::status::State::{Draining, Killing, Serving};

#[test]
fn a_shutdown_drains_all_and_is_answered_at_the_end() {
    let mut world = World::serving(policy(2));
    let ticket = world.shutdown(false);
    assert_eq!(world.drained(), [1, 2]);
    world.exit(1, Exit::Code(0));
    assert_eq!((world.answers(), world.finished()), (vec![], vec![]));
    world.exit(2, Exit::Code(1));
    assert_eq!(world.answer_to(ticket), Ok(Report::Shutdown));
    assert_eq!(world.finished(), [Ok(())]);
    assert_eq!(world.fleet.next_deadline(), None);
}

#[test]
fn nodes_go_on_accepting_for_the_delay() {
    let mut world = World::serving(Policy { shutdown_delay: secs(10), ..policy(1) });
    world.shutdown(false);
    world.pass(secs(9));
    assert_eq!(world.states([1]), [Serving]);
    world.pass(secs(1));
    assert_eq!(world.drained(), [1]);
}

#[test]
fn a_node_that_dies_during_the_delay_is_not_replaced() {
    let mut world = World::serving(Policy { shutdown_delay: secs(10), ..policy(2) });
    let ticket = world.shutdown(false);
    world.exit(1, KILLED);
    world.leaving(2);
    world.pass(secs(60));
    assert!(world.spawned().is_empty());
    world.exit(2, KILLED);
    assert_eq!(world.answer_to(ticket), Ok(Report::Shutdown));
}

#[test]
fn what_is_still_starting_is_killed_and_what_rests_is_not_started() {
    let mut world = World::serving(Policy { shutdown_delay: secs(10), ..policy(3) });
    world.exit(1, KILLED);
    world.exit(2, KILLED);
    world.exit(4, KILLED);
    world.spawned();
    world.shutdown(false);
    assert_eq!(world.signals(), [(5, Fatal::Kill)]);
    world.pass(secs(10));
    assert_eq!(world.states([3, 5]), [Draining, Killing]);
    assert!(world.spawned().is_empty());
}

#[test]
fn the_drain_deadline_kills() {
    let mut world = World::serving(policy(1));
    world.shutdown(false);
    world.pass(secs(30));
    assert_eq!(world.signals(), [(1, Fatal::Kill)]);
    world.exit(1, KILLED);
    assert_eq!(world.finished(), [Ok(())]);
}

#[test]
fn a_shutdown_at_once_kills_also_when_a_gentle_one_is_under_way() {
    for steps in 0..3 {
        let mut world = World::serving(Policy { shutdown_delay: secs(10), ..policy(1) });
        if steps > 0 {
            world.shutdown(false);
        }
        if steps > 1 {
            world.pass(secs(15));
        }
        world.shutdown(true);
        assert_eq!(world.signals(), [(1, Fatal::Kill)]);
        world.exit(1, KILLED);
        let answered: Vec<_> = world.answers().into_iter().map(|(_, result)| result).collect();
        assert_eq!(answered, vec![Ok(Report::Shutdown); 1 + usize::from(steps > 0)]);
        assert_eq!(world.finished(), [Ok(())]);
    }
}

#[test]
fn a_shutdown_overtakes_the_running_command() {
    let mut world = World::serving(policy(1));
    let reload = world.reload();
    let shutdown = world.shutdown(false);
    assert_eq!(world.answer_to(reload), Err(CommandError::ShuttingDown));
    assert_eq!(world.states([1, 2]), [Draining, Killing]);
    let late = world.scale(2);
    assert_eq!(world.answer_to(late), Err(CommandError::ShuttingDown));
    world.exit(2, KILLED);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.answer_to(shutdown), Ok(Report::Shutdown));
}

#[test]
fn a_shutdown_before_the_start_ends_at_once_and_for_good() {
    let mut world = World::unborn(policy(2));
    let ticket = world.shutdown(false);
    assert_eq!(world.answer_to(ticket), Ok(Report::Shutdown));
    assert_eq!(world.finished(), [Ok(())]);
    world.on(Event::Start);
    assert_eq!(world.done.len(), 2, "nothing but the two lines that said so: {:?}", world.done);
}

#[test]
fn commands_after_the_end_are_answered() {
    let mut world = World::serving(policy(1));
    world.shutdown(true);
    world.exit(1, KILLED);
    world.answers();
    for command in [World::reload, |w: &mut World| w.shutdown(false), |w: &mut World| w.scale(2)] {
        let ticket = command(&mut world);
        assert_eq!(world.answer_to(ticket), Err(CommandError::ShuttingDown));
    }
    world.pass(millis(100));
    assert_eq!(world.finished(), [Ok(())], "once");
}

#[test]
fn the_delay_holds_for_those_who_serve() {
    let delayed = |nodes| Policy { shutdown_delay: secs(1), ..policy(nodes) };
    let mut world = World::serving(delayed(2));
    world.shutdown(false);
    world.said(Level::Info, "shuts down; 2 nodes go on accepting for 1 s and then drain");
    world.on(Event::Tick);
    assert_eq!(world.states([1, 2]), [Serving; 2], "a tick before its end changes nothing");
    world.now += secs(600);
    world.on(Event::Late(secs(600)));
    world.on(Event::Tick);
    assert_eq!(world.states([1, 2]), [Serving; 2], "nor does a time in which the master did not run");
    world.pass(secs(1));
    assert_eq!(world.states([1, 2]), [Draining; 2]);

    let mut world = World::started(delayed(1));
    world.shutdown(false);
    world.said(Level::Info, "shuts down; no node serves");
    assert_eq!(world.fleet.next_deadline(), Some(world.now + secs(5)), "it is waited for the end of what starts alone");
}

#[test]
fn a_shutdown_without_a_delay_tells_how_many_drain() {
    let mut world = World::serving(policy(2));
    assert!(!world.fleet.is_stopping());
    world.shutdown(false);
    world.said(Level::Info, "shuts down; 2 nodes drain");
    assert!(world.fleet.is_stopping());
    [1, 2].into_iter().for_each(|n| world.exit(n, Exit::Code(0)));
    assert!(world.fleet.is_stopping(), "also when all is over");
}
