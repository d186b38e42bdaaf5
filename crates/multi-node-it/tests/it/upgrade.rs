//! Upgrade in place: the master's process runs the new program, and nobody notices.

use multi_node_it::{Client, Load, Plan, Program, procfs, send, within};
use rustix::process::Signal;
use serde_json::json;

/// Upgrades, and waits until everything is as before.
async fn upgrade(program: &mut Program) {
    program.upgrade().await.expect("the new program takes over");
    program.at_rest().await;
}

#[tokio::test]
async fn the_new_program_has_the_process_the_nodes_and_the_connections() {
    within(20, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let old = program.pids().await;
        let (name, mut kept) = (procfs::name(program.pid), Client::connect(program.addr).await.expect("connected"));
        kept.get("/").await.expect("an answer");
        let before = program.status().await;

        upgrade(&mut program).await;
        let after = program.status().await;
        for (before, after) in before.slots.iter().zip(&after.slots) {
            assert_eq!((after.generation.number(), after.restarts), (1, 0), "{after:?}");
            assert!(after.id > before.id, "{before:?} became {after:?}");
            assert!(after.requests >= before.requests, "{before:?} became {after:?}");
        }
        kept.get("/").await.expect("an answer on the connection that was kept");
        drop(kept);
        assert_eq!(procfs::name(program.pid), name, "what `ps` shows of the master");
        assert_eq!(procfs::children(program.pid).len(), 2, "the nodes are its children, and nobody else");
        assert!(old.into_iter().all(|pid| procfs::state(pid).is_none()));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_new_master_supervises_and_is_a_peer() {
    within(20, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        upgrade(&mut program).await;
        // The programs take their streams when they like.
        while program.order("ping").await["answered"] != json!(["node-3", "node-4"]) {}
        while program.get("/ping").await.expect("an answer").json()["answered"].as_array().map(Vec::len) != Some(2) {}

        let pids = program.pids().await;
        send(pids[0], Signal::KILL);
        let status = program.status_where(|s| s.slots[0].restarts == 1 && s.is_ready()).await;
        assert_eq!(status.slots[0].last_exit, Some(multi_node::Exit::Signal(9)));
        assert_eq!(status.slots[0].generation.number(), 1, "a restart runs what its generation runs");
        program.order("scale 3").await;
        program.order("reload").await;
        assert_eq!(program.at_rest().await.slots[2].generation.number(), 2);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_signal_upgrades_again_and_again_and_leaves_nothing_behind() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        upgrade(&mut program).await;
        let fds = procfs::fds(program.pid);
        for round in 2..=4 {
            program.signal(Signal::USR2);
            program.listens_again().await;
            let status = program.at_rest().await;
            assert!(status.slots.iter().all(|slot| slot.generation.number() == round), "{status:?}");
        }
        program.until(|| procfs::fds(program.pid) == fds).await;
        assert!(procfs::zombies(program.pid).is_empty());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn no_request_fails() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let load = Load::begin(program.addr, 2);
        for _ in 0..5 {
            upgrade(&mut program).await;
        }
        load.end().await;
        program.stop().await;
    })
    .await;
}
