//! Connections wait in the listener's queue for a node that can take them: through a kill, and where files are short.

use std::time::Duration;

use futures_util::future::join_all;
use multi_node::status::State;
use multi_node_it::limits::limit_open_files;
use multi_node_it::program::send;
use multi_node_it::{Client, Plan, Program, procfs, within};
use rustix::process::Signal;

#[tokio::test]
async fn queued_connections_outlive_every_node() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        let pids = program.pids().await;
        for pid in &pids {
            send(*pid, Signal::STOP);
        }
        program.until(|| pids.iter().all(|pid| procfs::is_stopped(*pid))).await;
        let mut clients = join_all((0..64).map(|_| Client::connect(program.addr))).await;
        for client in clients.iter_mut().flatten() {
            client.ask("/").await.expect("sent");
        }
        for pid in &pids {
            send(*pid, Signal::KILL);
        }
        for client in clients {
            let answer = client.expect("a connection").answer().await.expect("an answer");
            assert!(!pids.contains(&answer.pid()), "{answer:?} comes from a node that had been killed");
        }
        program.stop().await;
    })
    .await;
}

/// Stops all nodes and sends this number of requests, which wait in the queue.
async fn waiting(program: &mut Program, clients: usize) -> Vec<Client> {
    let pids = program.pids().await;
    pids.iter().for_each(|pid| send(*pid, Signal::STOP));
    program.until(|| pids.iter().all(|pid| procfs::is_stopped(*pid))).await;
    let mut waiting = Vec::new();
    for _ in 0..clients {
        let mut client = Client::connect(program.addr).await.expect("a connection");
        client.ask("/").await.expect("sent");
        waiting.push(client);
    }
    waiting
}

#[tokio::test]
async fn what_waits_when_the_program_ends_is_served_and_then_nobody_can_connect() {
    within(20, async {
        // An address of its own, of which no other test's program can be given the port when it is free.
        let host = "127.0.0.22".to_owned();
        let mut program = Program::serving(Plan { host, ..Plan::nodes(3) }).await;
        let mut slow = program.begin("/sleep/1500").await;
        let pids = program.pids().await;
        let clients = waiting(&mut program, 64).await;
        program.signal(Signal::TERM);
        program.logged("3 nodes drain").await;
        pids.iter().for_each(|pid| send(*pid, Signal::CONT));
        for mut client in clients {
            client.answer().await.expect("an answer");
            assert_eq!(client.rest().await.expect("an end in order"), "");
        }
        // Who comes later does not wait for nothing.
        while Client::connect(program.addr).await.is_ok() {}
        assert_eq!(slow.answer().await.expect("an answer").body, "slept 1500\n");
        drop(slow);
        program.ends_well().await;
        let log = program.log();
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "an ordinary end is nothing to warn of: {log}");
    })
    .await;
}

#[tokio::test]
async fn a_master_that_serves_stops_with_its_nodes() {
    within(20, async {
        let plan = Plan { host: "127.0.0.24".to_owned(), master_listen: true, ..Plan::nodes(1) };
        let mut program = Program::serving(plan).await;
        let node = program.pids().await[0];
        let mut clients = [program.connected_to("node-1").await, program.connected_to("master").await];
        for client in &mut clients {
            client.ask("/sleep/1500").await.expect("sent");
        }
        program.status_where(|s| s.slots[0].in_flight == 1).await;
        program.signal(Signal::TERM);
        while Client::connect(program.addr).await.is_ok() {}
        assert!(procfs::is_alive(node), "the master had taken connections until its nodes had ended");
        for mut client in clients {
            let answer = client.answer().await.expect("an answer");
            assert_eq!(answer.body, "slept 1500\n");
            assert!(answer.headers.contains("connection: close"), "{}", answer.headers);
        }
        program.ends_well().await;
    })
    .await;
}

/// Nodes that may open fewer files than they have reckoned with.
async fn with_few_files(nodes: usize, files: u64) -> Program {
    let mut program = Program::serving(Plan::nodes(nodes)).await;
    for pid in program.pids().await {
        limit_open_files(pid, files);
    }
    program
}

/// Nobody of these uses more than a tenth of a processor over half a second.
async fn assert_no_spin(pids: &[u32]) {
    let used = |pids: &[u32]| pids.iter().map(|pid| procfs::cpu_time(*pid)).collect::<Vec<_>>();
    let before = used(pids);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let used: Vec<Duration> = used(pids).iter().zip(before).map(|(after, before)| *after - before).collect();
    assert!(used.iter().all(|time| *time <= Duration::from_millis(50)), "{used:?}");
}

#[tokio::test]
async fn nodes_without_files_left_wait_and_recover() {
    within(30, async {
        let mut program = with_few_files(2, 64).await;
        let pids = program.pids().await;
        let mut clients = join_all((0..150).map(|_| Client::connect(program.addr))).await;
        for client in clients.iter_mut().flatten() {
            client.ask("/").await.expect("sent");
        }
        program.until(|| pids.iter().all(|pid| procfs::fds(*pid) >= Some(64))).await;
        program.logged("cannot accept connections").await;
        assert_no_spin(&pids).await;
        // Those who have their answer go, and so make room for the others.
        join_all(clients.into_iter().map(async |client| {
            let answer = client.expect("a connection").answer().await.expect("an answer");
            assert!(pids.contains(&answer.pid()), "{answer:?} does not come from one of the first nodes");
        }))
        .await;
        assert_eq!(program.pids().await, pids, "a node has ended");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_master_without_files_left_waits_and_recovers() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(3)).await;
        let pids = program.pids().await;
        let before = limit_open_files(program.pid, 10);
        send(pids[1], Signal::KILL);
        program.status_where(|s| s.slots[1].state == State::BackingOff).await;
        assert_no_spin(&[program.pid, pids[0], pids[2]]).await;
        for _ in 0..10 {
            program.get("/").await.expect("the other nodes serve");
        }
        limit_open_files(program.pid, before);
        program.at_rest().await;
        program.answering(3).await;
        program.stop().await;
    })
    .await;
}
