//! A canary gets its share of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use multi_node_it::machine::{Machine, assert_well};
use multi_node_it::{Fault, Plan, Program, within};

use crate::canary::{LONG, try_one};

/// How many of 2000 requests each of four old nodes and one on trial, which fails fast, have answered. And how long the
/// machine held up one of them meanwhile.
async fn shared_with_a_node_that_fails_fast() -> (BTreeMap<String, u32>, Duration) {
    let plan = Plan { canary: Some((LONG, u64::MAX)), ..Plan::nodes(4) };
    let mut program = Program::serving(plan).await;
    Fault::AnswerErrors.lay(&program.faults());
    let _trial = try_one(&mut program).await;
    // The old nodes have connections, so that by these alone the new one would get all.
    let mut kept = Vec::new();
    for id in ["node-2", "node-3", "node-4", "node-2", "node-3", "node-4"] {
        kept.push(program.connected_to(id).await);
    }
    let pids: Vec<u32> = program.status().await.slots.iter().filter_map(|slot| slot.pid).collect();
    let machine = Machine::watch(&pids);
    let mut answers = BTreeMap::<String, u32>::new();
    for _ in 0..2000 {
        *answers.entry(program.get("/").await.expect("an answer").id()).or_default() += 1;
    }
    let held_up = machine.held_up();
    drop(kept);
    program.stop().await;
    (answers, held_up)
}

#[tokio::test]
async fn a_node_that_fails_fast_gets_its_share_and_no_more() {
    within(100, async {
        // A quarter is fair: the old node of its slot is paused.
        let fair = |answers: &BTreeMap<String, u32>| {
            answers.get("node-5").is_some_and(|new| (400..=600).contains(new)) && !answers.contains_key("node-1")
        };
        assert_well(shared_with_a_node_that_fails_fast, fair).await;
    })
    .await;
}
