//! Every process is joined to every other.

use multi_node_it::{Plan, Program, procfs, within};
use rustix::process::Signal;
use serde_json::json;

/// Waits until the process behind the next answer of the master, and one node, reach `others` peers each.
async fn all_answer(program: &mut Program, others: usize) {
    loop {
        let master = program.order("ping").await;
        if master["answered"].as_array().map(Vec::len) == Some(others) && master["asked"] == json!(others) {
            return;
        }
    }
}

#[tokio::test]
async fn eight_nodes_and_their_master_reach_each_other() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(8)).await;
        all_answer(&mut program, 8).await;
        // Each node that answers has reached its seven siblings and the master.
        for _ in 0..24 {
            let answer = program.get("/ping").await.expect("an answer");
            let pinged: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
            assert_eq!(pinged["asked"], json!(8), "{pinged}");
            assert_eq!(pinged["answered"].as_array().map(Vec::len), Some(8), "{pinged}");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_replaced_node_is_joined_anew() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        all_answer(&mut program, 4).await;
        let pids = program.pids().await;
        multi_node_it::program::send(pids[1], Signal::KILL);
        program.status_where(|s| s.slots[1].restarts == 1 && s.is_ready()).await;
        all_answer(&mut program, 4).await;
        assert!(!procfs::is_alive(pids[1]));
        program.stop().await;
    })
    .await;
}
