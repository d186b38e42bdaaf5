//! The limit of open files: what the processes need of it is known before the first node starts.

use std::path::Path;
use std::time::Duration;

use multi_node::Status;
use multi_node::status::{SlotStatus, State};
use multi_node_it::program::fixture;
use multi_node_it::{Plan, Program, procfs, within};
use rustix::process::Signal;
use serde_json::json;

/// A program whose limit of open files is this, and whose master need not listen.
fn launched(files: u32, plan: Plan) -> Program {
    Program::launch(Path::new("sh"), plan, |command| {
        command.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\"")).arg(fixture());
    })
}

async fn serving(files: u32, plan: Plan) -> Program {
    let mut program = launched(files, plan);
    program.listens().await;
    assert_eq!(program.command("ready").await, json!({ "Ok": null }));
    program
}

/// The descriptors that the master and a node need, as the error has the sum.
fn sums(nodes: usize) -> (usize, usize) {
    let alive = 3 * nodes + 1;
    (64 + 1 + 64 + 4 * alive, 64 + 16 + 2 + 3 * alive)
}

#[tokio::test]
async fn where_they_do_not_fit_listen_fails_with_the_sum() {
    within(30, async {
        let (master, _) = sums(16);
        let too_few = u32::try_from(master - 1).expect("few");
        let mut program = launched(too_few, Plan::nodes(16));
        assert_eq!(program.exit().await, Some(1));
        let said = format!(
            "the limit of open files is {too_few}, and the master needs {master}: 64 for itself + 1 listening sockets \
             + 64 for streams that are being made + 196 for 49 nodes at once, of which two generations may drain (4 each); \
             raise it (`ulimit -n {master}`, systemd: `LimitNOFILE={master}`) or set fewer `nodes`"
        );
        assert!(program.log().contains(&said), "{}", program.log());
        assert!(!program.log().contains("node-1"), "no node was started");
        program.leaves_nobody().await;
    })
    .await;
}

#[tokio::test]
async fn the_least_limit_is_enough_for_two_generations_that_drain() {
    within(60, async {
        let (master, node) = sums(6);
        let files = u32::try_from(master.max(node)).expect("few");
        let plan = Plan { drain_timeout: Duration::from_secs(40), bus: true, ..Plan::nodes(6) };
        let mut program = serving(files, plan).await;
        let mut waiting = Vec::new();
        for generation in 1..=2 {
            for id in serving_of(&mut program, generation - 1).await {
                let mut client = program.connected_to(&id).await;
                client.send("GET /sleep/15000 HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
                waiting.push(client);
            }
            let _later = program.send("reload").await;
        }
        let newest = serving_of(&mut program, 2).await;
        let status = program.status().await;
        assert_eq!(status.slots.iter().filter(|slot| slot.state == State::Draining).count(), 12, "{status:?}");
        assert_eq!(newest.len(), 6);
        // All that live are joined, 18 nodes with each other, and have links for topics.
        let pids: Vec<u32> = status.slots.iter().filter_map(|slot| slot.pid).collect();
        program.until(|| pids.iter().all(|pid| procfs::sockets(*pid) >= Some(2 * 17))).await;
        assert!(!program.log().contains("no streams to its peers"), "{}", program.log());
        assert!(!program.log().contains("no link of the bus"), "{}", program.log());
        assert!(!program.log().contains("were lost on the way"), "{}", program.log());
        drop(waiting);
        program.signal(Signal::QUIT);
        program.exit().await;
    })
    .await;
}

#[tokio::test]
async fn sixty_four_nodes_are_joined_with_each_other_under_1024() {
    within(300, async {
        let plan = Plan { start_timeout: Duration::from_secs(200), ..Plan::nodes(64) };
        let mut program = serving(1024, plan).await;
        let pids = program.pids().await;
        let (master, node) = sums(64);
        assert!(master <= 1024 && node <= 1024);
        // Each process has 64 peers, the master among them.
        let peers = program.command("peers").await;
        assert_eq!(peers.as_array().map(Vec::len), Some(64), "{peers}");
        program.until(|| pids.iter().all(|pid| procfs::sockets(*pid) >= Some(64))).await;
        let open = procfs::fds(program.pid).expect("it lives");
        assert!(open <= master, "the master has {open} of {master}");
        for pid in &pids {
            let open = procfs::fds(*pid).expect("it lives");
            assert!(open <= node, "{pid} has {open} of {node}");
        }
        assert!(!program.log().contains("too many"), "{}", program.log());
        program.stop().await;
    })
    .await;
}

/// The nodes of this generation, once they serve in every slot.
async fn serving_of(program: &mut Program, generation: u32) -> Vec<String> {
    let serves = |slot: &&SlotStatus| slot.state == State::Serving && slot.generation.number() == generation;
    let all = |status: &Status| status.slots.iter().filter(serves).count() == status.wanted;
    let status = program.status_where(all).await;
    status.slots.iter().filter(serves).filter_map(|slot| Some(slot.id?.to_string())).collect()
}

#[tokio::test]
async fn scale_goes_as_far_as_they_fit() {
    within(60, async {
        let (master, node) = sums(4);
        let files = u32::try_from(master.max(node)).expect("few");
        let mut program = serving(files, Plan::nodes(2)).await;
        let refused = program.command("scale 5").await;
        assert_eq!(refused, json!({ "Err": { "open_files": { "asked": 5, "max": 4 } } }));
        assert_eq!(program.command("scale 4").await, json!({ "Ok": { "from": 2, "to": 4 } }));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_streams_fewer_are_needed() {
    within(30, async {
        let (master, _) = sums(16);
        let plan = Plan { peers: false, ..Plan::nodes(16) };
        let program = serving(u32::try_from(master - 2 * 49 - 64).expect("few"), plan).await;
        program.stop().await;
    })
    .await;
}
