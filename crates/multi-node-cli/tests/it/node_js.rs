//! Node.js programs that are not changed: what they see of the master, their primary.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use multi_node_it::{client, needs, procfs, send, within};
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::command::{Running, app, json_of, pids};

/// The server in this number of nodes. Each of them is ready only once it has said that it listens.
async fn serving(nodes: usize) -> (Running, SocketAddr) {
    let (count, server) = (nodes.to_string(), app("server.js"));
    let args = ["-n", &count, "--bind", "127.0.0.1:0", "--ready-after", "1h", "--", "node", &server];
    Running::serving(&args, nodes).await
}

#[tokio::test]
async fn a_node_program_gets_the_port_that_it_asks_for() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        // Port 0 is a free one, and the same for all nodes.
        let args = ["-n", "2", "--ready-after", "1h", "--", "node", &app("server.js"), "0"];
        let (running, addr) = Running::serving(&args, 2).await;
        pids(addr, 2).await;
        let bound = format!(":{}", addr.port());
        for command in [["status"], ["describe"]] {
            let shown = json_of(&[&command[..], &["--name", &running.name]].concat()).await;
            assert!(shown["addresses"][0].as_str().is_some_and(|served| served.ends_with(&bound)), "{shown}");
        }
        let listed = running.command(&["status"]).await;
        assert!(String::from_utf8_lossy(&listed.stdout).contains(&bound), "{listed:?}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn node_connections_are_handed_out_evenly() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let (running, addr) = serving(4).await;
        let mut counts = BTreeMap::<String, usize>::new();
        for _ in 0..40 {
            *counts.entry(client::get(addr, "/").await.expect("an answer").body).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count == 10), "{counts:?}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_node_program_that_a_timer_keeps_alive_ends_when_its_last_client_has() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let (mut running, addr) = serving(1).await;
        let request = tokio::spawn(async move { client::get(addr, "/slow").await });
        // The primary has given it away once the kernel's queue is empty and the node has one more socket.
        let node = procfs::children(running.pid())[0];
        let before = procfs::fds(node);
        while procfs::fds(node) <= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.signal(Signal::TERM);
        assert!(request.await.expect("no panic").expect("an answer").body.starts_with("node "));
        assert_eq!(running.exit().await, Some(0));
        assert!(
            running.seen.iter().any(|line| line.contains("ended by SIGTERM, drained in")),
            "neither killed nor left to the deadline"
        );
    })
    .await;
}

/// Asks until each of three nodes knows exactly the two others.
async fn all_have_met(addr: SocketAddr) {
    let mut complete = BTreeSet::new();
    while complete.len() < 3 {
        let body = client::get(addr, "/").await.expect("an answer").body;
        let (_, pids) = body.split_once("siblings").expect("a list");
        let (siblings, own) = pids.split_once("own ").expect("a pid");
        let alive = |pid: &str| procfs::is_alive(pid.parse().expect("a pid"));
        let siblings: BTreeSet<_> = siblings.split_whitespace().filter(|pid| alive(pid)).collect();
        if siblings.len() == 2 {
            complete.insert(own.to_owned());
        }
        complete.retain(|pid| alive(pid));
    }
}

#[tokio::test]
async fn a_node_program_that_asks_for_its_siblings_has_a_stream_to_each() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let peers = app("peers.js");
        let args = ["-n", "3", "--bind", "127.0.0.1:0", "--ready-after", "1h", "--", "node", &peers];
        let (mut running, addr) = Running::serving(&args, 3).await;
        all_have_met(addr).await;
        let answer = client::get(addr, "/").await.expect("an answer");
        assert!(answer.body.starts_with("datagrams ENOTSUP "), "{}", answer.body);

        send(procfs::children(running.pid())[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        all_have_met(addr).await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn handles_that_a_node_program_sends_are_acknowledged_so_that_its_channel_goes_on() {
    if !needs::program("node") {
        return;
    }
    within(30, async {
        let handles = app("handles.js");
        let args = ["-n", "1", "--ready", "notify", "--ready-after", "1h", "--", "node", &handles];
        let mut running = Running::start(&args);
        let (sends, sends_raw, answers) = (running.addr().await, running.addr().await, running.addr().await);
        running.logged("sends handles by process.send").await;
        running.ready(1).await;
        for _ in 0..3 {
            for addr in [sends, sends_raw] {
                let mut sent = TcpStream::connect(addr).await.expect("a connection");
                assert_eq!(sent.read(&mut [0]).await.expect("its end"), 0, "the command closes it");
            }
            pids(answers, 1).await;
        }
        running.signal(Signal::TERM);
        assert_eq!(running.exit().await, Some(0));
        assert!(!running.seen.iter().any(|line| line.contains("SIGKILL")), "it ends by itself");
    })
    .await;
}
