//! Memory, under clients that never finish what they send.

use std::time::Duration;

use multi_node_it::{HttpPlan, Plan, Program, get, limits, procfs, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// As many connections as are tried, where the limit of open files allows that.
const MOST: u64 = 20_000;

/// How much a connection with an unfinished head may take: hyper's first buffer, and what stands around it.
const EACH: u64 = 20 * 1024;

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
            let mut client = TcpStream::connect(program.addr).await.expect("a connection");
            let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "x".repeat(2000));
            client.write_all(head.as_bytes()).await.expect("sent");
            clients.push(client);
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
