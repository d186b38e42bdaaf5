//! Limits count for all processes together, whatever becomes of one of them.

use std::collections::BTreeMap;

use multi_node_it::{Plan, Program, send, within};
use rustix::process::Signal;
use tokio::task::JoinSet;

/// How many requests each key may have (`/limited/{key}`).
const LIMIT: usize = 20;

/// How many of 100 requests are let through, which several nodes answer.
async fn allowed(program: &Program, key: &str) -> usize {
    let path = format!("/limited/{key}");
    let requests: JoinSet<u16> = (0..100)
        .map(|_| {
            let (addr, path) = (program.addr, path.clone());
            async move { multi_node_it::client::get(addr, &path).await.expect("an answer").status }
        })
        .collect();
    requests.join_all().await.into_iter().filter(|status| *status == 200).count()
}

#[tokio::test]
async fn nodes_count_together_and_what_they_counted_outlives_them() {
    within(60, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        assert_eq!(allowed(&program, "one").await, LIMIT);
        for pid in program.pids().await {
            send(pid, Signal::KILL);
        }
        program.status_where(|status| status.is_ready() && status.slots.iter().all(|slot| slot.restarts == 1)).await;
        assert_eq!((allowed(&program, "one").await, allowed(&program, "two").await), (0, LIMIT), "after crashes");
        assert!(program.command("reload").await["Ok"].is_object());
        assert_eq!((allowed(&program, "two").await, allowed(&program, "three").await), (0, LIMIT), "after a reload");
        program.upgrade().await.expect("the new program takes over");
        program.at_rest().await;
        assert_eq!((allowed(&program, "three").await, allowed(&program, "four").await), (0, LIMIT), "after an upgrade");
        program.stop().await;
    })
    .await;
}

/// Adds to the gauge of some node; which one it was, and the sum.
async fn count(program: &Program, amount: i64) -> (u32, i64) {
    let answer = program.get(&format!("/gauge/{amount}")).await.expect("an answer");
    let sum = answer.body.split_whitespace().nth(2).and_then(|sum| sum.parse().ok());
    (answer.pid(), sum.unwrap_or_else(|| panic!("{:?}", answer.body)))
}

#[tokio::test]
async fn what_a_killed_node_has_added_to_a_gauge_no_longer_counts() {
    within(60, async {
        let mut program = Program::serving(Plan::nodes(3)).await;
        let mut parts = BTreeMap::<u32, i64>::new();
        while parts.len() < 3 {
            let (pid, sum) = count(&program, 500).await;
            *parts.entry(pid).or_default() += 500;
            assert_eq!(sum, parts.values().sum::<i64>(), "{parts:?}");
        }
        for slot in 0..2 {
            let pid = program.pids().await[slot];
            send(pid, Signal::KILL);
            program.status_where(|status| status.is_ready() && status.slots[slot].restarts == 1).await;
            parts.remove(&pid);
            assert_eq!(count(&program, 0).await.1, parts.values().sum::<i64>(), "{parts:?}");
        }
        assert_eq!(parts.len(), 1, "one node still counts");
        assert!(program.command("reload").await["Ok"].is_object());
        assert_eq!(count(&program, 0).await.1, 0, "all have ended");
        count(&program, 7).await;
        program.upgrade().await.expect("the new program takes over");
        program.at_rest().await;
        assert_eq!(count(&program, 3).await.1, 3, "the old nodes have ended");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_gauge_of_a_process_that_serves_alone() {
    within(30, async {
        let program = Program::serving(Plan::nodes(0)).await;
        assert_eq!((count(&program, 5).await.1, count(&program, -7).await.1), (5, -2));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_process_that_serves_alone_counts_too() {
    within(30, async {
        let program = Program::serving(Plan::nodes(0)).await;
        assert_eq!((allowed(&program, "one").await, allowed(&program, "one").await), (LIMIT, 0));
        program.stop().await;
    })
    .await;
}
