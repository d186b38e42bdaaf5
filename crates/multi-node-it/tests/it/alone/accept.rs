//! Connections are spread evenly, and nobody waits for a node that is busy or stopped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use multi_node_it::limits::raise_open_files;
use multi_node_it::machine::{Machine, assert_well};
use multi_node_it::program::send;
use multi_node_it::{Client, Plan, Program, procfs, within};
use rustix::process::Signal;

/// A node that does not answer may make no other client wait for longer than this.
const WAIT: Duration = Duration::from_millis(50);

/// How many there are of each.
fn count(ids: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

async fn kept(addr: SocketAddr) -> (Client, String) {
    let mut client = Client::connect(addr).await.expect("a connection");
    let id = client.get("/").await.expect("an answer").id();
    (client, id)
}

/// How many of 400 short connections, one after the other, each node has answered.
async fn short_connections(program: &Program) -> BTreeMap<String, usize> {
    let mut ids = Vec::new();
    for _ in 0..400 {
        ids.push(program.get("/").await.expect("an answer").id());
    }
    count(ids)
}

/// Each node has a fair number.
async fn assert_shared(
    pids: &[u32],
    mut measure: impl AsyncFnMut() -> BTreeMap<String, usize>,
    fair: RangeInclusive<usize>,
) {
    let round = async || {
        let machine = Machine::watch(pids);
        (measure().await, machine.held_up())
    };
    assert_well(round, |counts| counts.values().all(|n| fair.contains(n))).await;
}

#[tokio::test]
async fn short_connections_are_shared_to_within_a_tenth() {
    within(60, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        program.answering(4).await;
        let pids = program.pids().await;
        assert_shared(&pids, async || short_connections(&program).await, 90..=110).await;
        program.stop().await;
    })
    .await;
}

/// None of eight nodes has more than 1.25 times its share of 64 connections.
const FAIR: RangeInclusive<usize> = 0..=10;

async fn all_gone(program: &mut Program) {
    program.status_where(|s| s.slots.iter().all(|slot| slot.connections == 0)).await;
}

#[tokio::test]
async fn kept_connections_opened_one_by_one_are_shared() {
    within(60, async {
        let mut program = Program::serving(Plan::nodes(8)).await;
        let pids = program.pids().await;
        let one_by_one = async || {
            let mut clients = Vec::new();
            for _ in 0..64 {
                clients.push(kept(program.addr).await);
            }
            let counts = count(clients.drain(..).map(|(_, id)| id));
            all_gone(&mut program).await;
            counts
        };
        assert_shared(&pids, one_by_one, FAIR).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn kept_connections_opened_all_at_once_are_shared() {
    within(60, async {
        let mut program = Program::serving(Plan::nodes(8)).await;
        let pids = program.pids().await;
        let at_once = async || {
            let clients = join_all((0..64).map(|_| kept(program.addr))).await;
            let counts = count(clients.into_iter().map(|(_, id)| id));
            all_gone(&mut program).await;
            counts
        };
        assert_shared(&pids, at_once, FAIR).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_master_that_serves_gets_its_share_for_as_long_as_it_lives() {
    within(60, async {
        let mut program = Program::serving(Plan { master_listen: true, ..Plan::nodes(3) }).await;
        let pids: Vec<_> = program.pids().await.into_iter().chain([program.pid]).collect();
        let by_node = |(_, id): &(Client, String)| id != "master";
        let mut laden = Vec::new();
        while [1, 2, 3].iter().any(|node| laden.iter().filter(|(_, id)| *id == format!("node-{node}")).count() < 15) {
            laden.push(kept(program.addr).await);
        }
        // Now the master has nothing to do, and each node has more than what will come.
        laden.retain(by_node);
        // So long that the library has forgotten how they came, and a process that has fallen silent does not count.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let taken_by_nodes = async || {
            let mut clients = Vec::new();
            for _ in 0..12 {
                tokio::time::sleep(Duration::from_millis(150)).await; // too slow to be shared by how they come
                clients.push(kept(program.addr).await);
            }
            count(clients.into_iter().filter(by_node).map(|(_, id)| id))
        };
        // Each stood in the queue already.
        assert_shared(&pids, taken_by_nodes, 0..=1).await;
        program.stop().await;
    })
    .await;
}

/// How many of 400 short connections come to each of eight nodes with 500 idle connections each, of which one is killed
/// and replaced `after` the last of them came. And how long the machine held up one of them meanwhile.
async fn shared_with_a_fresh_node(after: Duration) -> (BTreeMap<String, usize>, Duration) {
    let mut program = Program::serving(Plan::nodes(8)).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.extend(join_all((0..100).map(|_| Client::connect(program.addr))).await);
    }
    let taken = |s: &multi_node::Status| s.slots.iter().map(|slot| slot.connections).sum::<u64>() == 4000;
    let status = program.status_where(taken).await;
    tokio::time::sleep(after).await;
    send(status.slots[3].pid.expect("it serves"), Signal::KILL);
    program.status_where(|s| s.is_ready() && s.slots[3].restarts == 1 && s.slots[3].connections == 0).await;

    let pids = program.pids().await;
    let machine = Machine::watch(&pids);
    let counts = short_connections(&program).await;
    let held_up = machine.held_up();
    drop(idle);
    program.stop().await;
    (counts, held_up)
}

/// None has more than twice the mean, which is 50.
async fn assert_not_drawn_to_a_fresh_node(after: Duration) {
    raise_open_files();
    assert_well(async || shared_with_a_fresh_node(after).await, |counts| counts.values().all(|n| *n <= 100)).await;
}

#[tokio::test]
async fn a_fresh_node_among_laden_ones_does_not_draw_everything() {
    // So long ago that the library, which looks at the last second or two, has forgotten how they came.
    within(100, assert_not_drawn_to_a_fresh_node(Duration::from_millis(2500))).await;
}

#[tokio::test]
async fn a_fresh_node_does_not_draw_everything_right_after_a_rush() {
    within(100, assert_not_drawn_to_a_fresh_node(Duration::ZERO)).await;
}

/// How long each of `clients` waited that came one every 5 ms, each on a connection of its own.
async fn latencies(addr: SocketAddr, clients: u32) -> Vec<Duration> {
    let start = tokio::time::Instant::now();
    let client = |number: u32| async move {
        tokio::time::sleep_until(start + number * Duration::from_millis(5)).await;
        let begun = Instant::now();
        multi_node_it::get(addr, "/").await.expect("an answer");
        begun.elapsed()
    };
    join_all((0..clients).map(client)).await
}

/// The longest wait of 60 clients of a program that was disturbed, and of 60 clients of one that was not, at the same
/// moments: what this machine is able to do just then. And how long it held up one of the first one's nodes.
async fn longest_waits(disturb: impl AsyncFn(&mut Program) -> Option<Client>) -> ((Duration, Duration), Duration) {
    let mut program = Program::serving(Plan::nodes(4)).await;
    let control = Program::serving(Plan::nodes(4)).await;
    program.answering(4).await;
    control.answering(4).await;
    let pids = program.pids().await;
    let busy = disturb(&mut program).await;
    let machine = Machine::watch(&pids);
    let (disturbed, undisturbed) = tokio::join!(latencies(program.addr, 60), latencies(control.addr, 60));
    let held_up = machine.held_up();
    for pid in &pids {
        send(*pid, Signal::CONT);
    }
    drop(busy);
    program.stop().await;
    control.stop().await;
    let longest = |waits: Vec<Duration>| waits.into_iter().max().unwrap_or_default();
    ((longest(disturbed), longest(undisturbed)), held_up)
}

async fn assert_nobody_waits(disturb: impl AsyncFn(&mut Program) -> Option<Client>) {
    let round = async || longest_waits(&disturb).await;
    assert_well(round, |(disturbed, undisturbed)| *disturbed <= *undisturbed + WAIT).await;
}

#[tokio::test]
async fn a_blocked_node_makes_no_other_client_wait() {
    within(
        60,
        assert_nobody_waits(async |program| {
            let mut client = Client::connect(program.addr).await.expect("a connection");
            client.ask("/block/400").await.expect("sent");
            program.status_where(|s| s.slots.iter().any(|slot| slot.in_flight == 1)).await;
            Some(client)
        }),
    )
    .await;
}

#[tokio::test]
async fn a_stopped_node_makes_no_client_wait() {
    within(
        60,
        assert_nobody_waits(async |program| {
            let pid = program.pids().await[1];
            send(pid, Signal::STOP);
            program.until(|| procfs::is_stopped(pid)).await;
            None
        }),
    )
    .await;
}
