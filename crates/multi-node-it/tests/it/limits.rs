//! Limits count for all processes together, whatever becomes of one of them.

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

#[tokio::test]
async fn a_process_that_serves_alone_counts_too() {
    within(30, async {
        let program = Program::serving(Plan::nodes(0)).await;
        assert_eq!((allowed(&program, "one").await, allowed(&program, "one").await), (LIMIT, 0));
        program.stop().await;
    })
    .await;
}
