//! Memory: under clients that never finish what they send, and where there is little of it.

use std::path::Path;
use std::time::Duration;

use multi_node::Status;
use multi_node::status::Exit;
use multi_node_it::program::fixture;
use multi_node_it::{HttpPlan, Plan, Program, get, limits, procfs, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// As many connections as are tried, where the limit of open files allows that.
const MOST: u64 = 20_000;

/// How much a connection with an unfinished head may take: hyper's first buffer, and what stands around it.
const EACH: u64 = 20 * 1024;

/// A client with a head that it does not finish.
async fn unfinished(program: &Program) -> TcpStream {
    let mut client = TcpStream::connect(program.addr).await.expect("a connection");
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(2000));
    client.write_all(head.as_bytes()).await.expect("sent");
    client
}

#[tokio::test]
async fn slow_heads_take_bounded_memory() {
    within(300, async {
        limits::raise_open_files();
        let http = HttpPlan { header_timeout: Duration::from_secs(600), ..HttpPlan::default() };
        let mut program = Program::serving(Plan { http, ..Plan::nodes(1) }).await;
        let node = program.pids().await[0];
        let before = procfs::resident(node);
        // The node keeps a tenth of its files for itself.
        let count = MOST.min(limits::open_files_at_most().unwrap_or(MOST) * 85 / 100);
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(unfinished(&program).await);
        }
        program.status_where(|status| status.slots[0].connections == count).await;
        let each = procfs::resident(node).saturating_sub(before) / count;
        println!("{count} connections with {each} bytes each");
        assert!(each <= EACH, "{each} bytes for each of {count} connections");
        drop(clients);
        program.status_where(|status| status.slots[0].connections == 0).await;
        println!("{} of {before} bytes are resident after them", procfs::resident(node));
        assert_eq!(get(program.addr, "/").await.expect("an answer").status, 200);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_gets_no_more_memory_is_replaced_and_the_others_stay() {
    within(60, async {
        limits::raise_open_files();
        let mut program = Program::serving(Plan::nodes(2)).await;
        let before = program.at_rest().await;
        limits::limit_memory(program.pids().await[0]);
        let mut clients = Vec::new();
        while program.status().await.slots[0].restarts == 0 {
            for _ in 0..20 {
                clients.push(unfinished(&program).await);
            }
        }
        let after = program.status_where(Status::is_ready).await;
        assert_eq!(after.slots[0].last_exit, Some(Exit::Signal(6)), "Rust aborts where memory cannot be had");
        assert_eq!((after.slots[1].id, after.slots[1].restarts), (before.slots[1].id, 0));
        drop(clients);
        assert_eq!(program.answering(2).await.len(), 2);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_program_with_little_address_space_serves_and_reloads() {
    within(60, async {
        let mut program = Program::launch(Path::new("sh"), Plan::nodes(2), |command| {
            command.arg("-c").arg("ulimit -v 400000 && exec \"$0\"").arg(fixture());
        });
        program.listens().await;
        assert_eq!(program.answering(2).await.len(), 2);
        program.command("reload").await["Ok"].as_object().expect("reloaded");
        assert_eq!(program.answering(2).await.len(), 2);
        program.stop().await;
    })
    .await;
}
