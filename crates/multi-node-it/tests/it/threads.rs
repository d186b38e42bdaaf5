//! Fewer nodes with several threads each.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::future::join_all;
use multi_node_it::{Client, Load, Plan, Program, within};

fn plan() -> Plan {
    Plan { threads: 4, ..Plan::nodes(2) }
}

#[tokio::test]
async fn many_connections_are_all_answered() {
    within(30, async {
        let mut program = Program::serving(plan()).await;
        let client = async |addr| {
            let mut client = Client::connect(addr).await.expect("a connection");
            for _ in 0..50 {
                assert_eq!(client.get("/").await.expect("an answer").status, 200);
            }
        };
        join_all((0..64).map(|_| client(program.addr))).await;
        program.answering(2).await;
        let status = program.status_where(|s| s.slots.iter().all(|s| (s.connections, s.in_flight) == (0, 0))).await;
        let requests: u64 = status.slots.iter().map(|slot| slot.requests).sum();
        assert!(requests >= 3200, "{status:?}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_reload_under_load_loses_no_request() {
    within(30, async {
        let mut program = Program::serving(plan()).await;
        let done = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..8).map(|_| tokio::spawn(load(program.addr, done.clone()))).collect();
        for _ in 0..3 {
            let report = program.command("reload").await;
            assert!(report["Ok"].is_object(), "{report}");
        }
        done.store(true, Relaxed);
        let mut answers = 0;
        for client in clients {
            answers += client.await.expect("the client has lost nothing");
        }
        assert!(answers > 0);
        program.stop().await;
    })
    .await;
}

/// What an axum program becomes that adds `listen` and changes nothing else: kept connections go to the successor, new ones wait.
#[tokio::test]
async fn a_reload_of_the_only_node_loses_no_request() {
    within(60, async {
        let mut program = Program::serving(Plan { threads: 4, ..Plan::nodes(1) }).await;
        let load = Load::begin(program.addr, 4).and_kept(program.addr, 4);
        for _ in 0..5 {
            let before = program.pids().await;
            let report = program.command("reload").await;
            assert!(report["Ok"].is_object(), "{report}");
            assert_ne!(program.pids().await, before);
        }
        load.end().await;
        program.stop().await;
    })
    .await;
}

/// Requests on connections of their own that are all answered; how many.
async fn load(addr: std::net::SocketAddr, done: Arc<AtomicBool>) -> u64 {
    let mut answers = 0;
    while !done.load(Relaxed) {
        assert_eq!(multi_node_it::get(addr, "/sleep/1").await.expect("an answer").status, 200);
        answers += 1;
    }
    answers
}
