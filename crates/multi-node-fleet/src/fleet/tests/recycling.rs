use std::time::Duration;

use super::super::world::{KILLED, World, policy, secs};
use super::super::{Event, Level, Policy, Recycling, Tally};
use crate::command::{CommandError, Report};
use crate::id::NodeId;
use crate::status::Exit;
use crate::status::State::{Draining, Empty, Killing, Serving, Starting};

const MIB: u64 = 1 << 20;

fn by_requests(nodes: usize) -> Policy {
    Policy { recycling: Recycling { max_requests: Some(1000), ..Recycling::default() }, ..policy(nodes) }
}

fn by_age(nodes: usize) -> Policy {
    Policy { recycling: Recycling { max_age: Some(secs(3600)), ..Recycling::default() }, ..policy(nodes) }
}

fn counted(world: &mut World, tallies: &[(u64, u64)]) {
    let tallies = tallies.iter().map(|&(n, requests)| (NodeId::node(n), Tally { requests, ..Tally::default() }));
    let tallies = tallies.collect();
    world.on(Event::Counted { tallies });
}

#[test]
fn a_node_that_has_served_enough_is_replaced_once_its_successor_is_ready() {
    let mut world = World::serving(by_requests(2));
    world.pass(secs(1));
    assert_eq!(world.sampling(), [(vec![1, 2], false)]);
    counted(&mut world, &[(1, 999), (2, 1000)]);
    world.said(Level::Info, "recycled: it has served 1000 requests");
    assert_eq!(world.status(), [(0, Serving, 1, 0), (1, Starting, 3, 0), (1, Serving, 2, 0)]);
    world.up(3);
    assert_eq!(world.drained(), [2]);
    world.exit(2, Exit::Code(0));
    world.said(Level::Info, "recycling done: node-3 serves in slot 1");
    assert_eq!((world.restarts(), world.answers()), (vec![0, 0], vec![]));
    counted(&mut world, &[(1, 999), (2, 5000), (3, 1)]);
    assert_eq!(world.all(Serving), [1, 3], "what a node that has ended had done is no matter");
}

#[test]
fn one_slot_at_a_time_and_the_next_when_the_old_node_has_ended() {
    let mut world = World::serving(by_requests(3));
    counted(&mut world, &[(1, 1000), (2, 1000), (3, 1000)]);
    for (old, new) in [(1, 4), (2, 5), (3, 6)] {
        assert_eq!(world.spawned(), [new]);
        world.up(new);
        world.pass(secs(29));
        assert_eq!(world.all(Draining), [old]);
        world.exit(old, Exit::Code(0));
    }
    assert_eq!((world.spawned(), world.all(Serving)), (vec![], vec![4, 5, 6]));
}

#[test]
fn memory_is_looked_at_where_it_has_a_limit() {
    let recycling = Recycling { max_memory: Some(64 * MIB), ..Recycling::default() };
    let mut world = World::serving(Policy { recycling, ..policy(1) });
    world.pass(secs(1));
    assert_eq!(world.sampling(), [(vec![1], true)]);
    // A single look may count what is being forked more than once.
    for mib in [63, 90, 63, 90] {
        world.on(Event::Weighed { id: NodeId::node(1), bytes: mib * MIB });
        assert!(world.spawned().is_empty(), "{mib}");
    }
    world.on(Event::Weighed { id: NodeId::node(1), bytes: 70 * MIB });
    assert_eq!(world.spawned(), [2]);
    world.said(Level::Info, "recycled: it has 70 MiB of memory");
}

#[test]
fn age_counts_from_readiness_and_needs_no_looks() {
    let mut world = World::started(by_age(1));
    world.pass(secs(10));
    world.up(1);
    world.done.clear();
    world.pass(secs(3599));
    assert_eq!((world.spawned(), world.sampling()), (vec![], vec![]));
    world.pass(secs(1));
    assert_eq!(world.spawned(), [2]);
    world.said(Level::Info, "recycled: it has served for 3600 s");
}

#[test]
fn jitter_lowers_each_nodes_limits_by_its_own_share() {
    let recycling = Recycling { max_age: Some(secs(3600)), jitter: 0.5, ..Recycling::default() };
    let mut world = World::serving(Policy { recycling, ..policy(8) });
    let start = world.now;
    let mut ages = Vec::new();
    for n in 9..=16 {
        while !world.spawned().contains(&n) {
            world.pass(secs(1));
        }
        ages.push(world.now.duration_since(start));
        world.up(n);
        world.all(Draining).into_iter().for_each(|old| world.exit(old, Exit::Code(0)));
    }
    assert!(ages.iter().all(|age| (secs(1800)..=secs(3600)).contains(age)), "{ages:?}");
    assert!(ages.windows(2).filter(|pair| pair[1] - pair[0] > secs(10)).count() >= 5, "not in step: {ages:?}");
}

#[test]
fn jitter_lowers_the_limit_of_requests_too() {
    let recycling = Recycling { max_requests: Some(1000), jitter: 0.5, ..Recycling::default() };
    let mut world = World::serving(Policy { recycling, ..policy(8) });
    let all = |requests| (1..=8).map(|n| (n, requests)).collect::<Vec<_>>();
    counted(&mut world, &all(499));
    assert!(world.spawned().is_empty(), "by half at most");
    counted(&mut world, &all(999));
    assert_eq!(world.spawned().len(), 1, "some are due, one at a time");
}

#[test]
fn with_a_surge_a_node_is_recycled_while_another_slot_rests() {
    let mut world = World::serving(by_requests(2));
    world.exit(1, KILLED);
    world.exit(3, KILLED);
    world.spawned();
    counted(&mut world, &[(2, 1000)]);
    assert_eq!(world.spawned(), [4]);
}

#[test]
fn a_master_that_stood_still_looks_once_and_waits_again() {
    for policy in [by_requests(1), by_age(1)] {
        let mut world = World::serving(policy);
        world.now += secs(4000);
        for _ in 0..3 {
            match world.fleet.next_deadline().filter(|due| *due <= world.now) {
                Some(due) => world.on(Event::overdue(world.now - due)),
                None => break,
            }
        }
        assert!(world.fleet.next_deadline().is_none_or(|due| due > world.now), "it would never wait again");
    }
}

#[test]
fn nothing_is_looked_at_without_a_limit_nor_after_the_end() {
    let mut world = World::serving(policy(1));
    world.pass(secs(10));
    assert_eq!(world.sampling(), []);
    let mut world = World::serving(by_requests(1));
    world.shutdown(false);
    world.pass(secs(10));
    assert_eq!(world.sampling(), []);
}

#[test]
fn recycling_waits_for_a_command_to_end() {
    let mut world = World::serving(by_requests(2));
    world.scale(3);
    counted(&mut world, &[(1, 1000)]);
    assert_eq!(world.spawned(), [3]);
    world.up(3);
    assert_eq!(world.spawned(), [4], "the slot's turn comes when the command is done");
}

#[test]
fn a_command_puts_recycling_off() {
    let mut world = World::serving(by_requests(2));
    counted(&mut world, &[(1, 1000)]);
    let ticket = world.reload();
    world.said(Level::Info, "recycling is put off for a command");
    assert_eq!(world.states([3, 4]), [Killing, Starting], "the slot's turn in the reload has begun");
    world.exit(3, KILLED);
    for (old, new) in [(1, 4), (2, 5)] {
        world.up(new);
        world.exit(old, Exit::Code(0));
    }
    assert!(matches!(world.answer_to(ticket), Ok(Report::Reload(_))));
    assert_eq!((world.all(Serving), world.spawned()), (vec![4, 5], vec![3, 4, 5]));
}

#[test]
fn a_command_does_not_undo_a_recycling_whose_new_node_serves() {
    let mut world = World::serving(by_requests(2));
    counted(&mut world, &[(1, 1000)]);
    world.up(3);
    let ticket = world.scale(1);
    assert_eq!(world.all(Draining), [1, 2]);
    world.exit(2, Exit::Code(0));
    world.exit(1, Exit::Code(0));
    world.answer_to(ticket).expect("scaled");
    assert_eq!(world.status(), [(0, Serving, 3, 0)]);
}

#[test]
fn a_command_that_is_refused_puts_nothing_off() {
    let mut world = World::serving(by_requests(2));
    counted(&mut world, &[(1, 1000)]);
    let ticket = world.scale(9);
    assert_eq!(world.answer_to(ticket), Err(CommandError::OutOfRange { asked: 9, max: 8 }));
    assert_eq!(world.states([3]), [Starting]);
}

#[test]
fn a_successor_that_fails_leaves_the_old_node_and_is_tried_again_later() {
    let mut world = World::serving(by_requests(1));
    counted(&mut world, &[(1, 1000)]);
    world.exit(2, Exit::Code(1));
    world.said(Level::Error, "recycling failed: node-2 in slot 0 ended with exit code 1");
    assert_eq!((world.status(), world.restarts()), (vec![(0, Serving, 1, 0)], vec![0]));
    world.pass(secs(29));
    assert_eq!(world.spawned(), [2]);
    world.pass(secs(1));
    assert_eq!(world.spawned(), [3], "after the longest pause between restarts");
}

#[test]
fn an_old_node_that_dies_meanwhile_leaves_its_slot_to_the_successor() {
    let mut world = World::serving(by_requests(1));
    counted(&mut world, &[(1, 1000)]);
    world.exit(1, KILLED);
    world.up(2);
    assert_eq!((world.status(), world.spawned()), (vec![(0, Serving, 2, 0)], vec![2]));
}

#[test]
fn with_surge_0_a_slot_is_emptied_only_while_all_others_serve() {
    let mut world = World::serving(Policy { surge: 0, ..by_requests(2) });
    world.exit(2, KILLED);
    counted(&mut world, &[(1, 1000)]);
    assert_eq!((world.states([1, 3]), world.drained()), ([Serving, Starting], vec![]));
    world.up(3);
    assert_eq!(world.drained(), [1]);
    world.exit(1, Exit::Code(0));
    world.up(4);
    assert_eq!(world.status(), [(0, Serving, 4, 0), (1, Serving, 3, 0)]);
}

#[test]
fn a_shutdown_overtakes_recycling() {
    let mut world = World::serving(by_requests(1));
    counted(&mut world, &[(1, 1000)]);
    world.shutdown(false);
    assert_eq!(world.states([1, 2]), [Draining, Killing]);
    world.exit(2, KILLED);
    world.exit(1, Exit::Code(0));
    assert_eq!(world.finished(), [Ok(())]);
}

#[test]
fn a_slot_that_is_scaled_away_is_not_recycled() {
    let mut world = World::serving(by_requests(2));
    world.scale(1);
    counted(&mut world, &[(2, 1000)]);
    world.exit(2, Exit::Code(0));
    world.pass(Duration::from_secs(5));
    assert_eq!((world.states([2]), world.spawned()), ([Empty], vec![]));
}
