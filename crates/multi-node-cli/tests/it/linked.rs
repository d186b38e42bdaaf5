//! `multi-node run` with a program that links the library: its processes are nodes like any other's.

use std::net::SocketAddr;

use futures_util::future::join_all;
use multi_node_it::{Client, Load, Plan, client, procfs, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command::{Running, built, json_of, pids, run};

/// The fixture program under `run`, with these arguments.
fn linked(plan: &Plan, args: &[&str]) -> Running {
    let mut command = run(&[args, &["--", &built("fixture")]].concat());
    command.env("FIXTURE", serde_json::to_string(plan).expect("a plan is JSON")).env("RUST_LOG", "info");
    command.stdout(std::process::Stdio::null());
    Running::of(command)
}

async fn serving(args: &[&str]) -> (Running, SocketAddr) {
    let mut running = linked(&Plan::default(), &[&["-n", "2", "--bind", "127.0.0.1:0"], args].concat());
    let addr = running.addr().await;
    running.ready(2).await;
    (running, addr)
}

/// The sum of a number of all slots.
fn sum(report: &Value, field: &str) -> u64 {
    report["slots"].as_array().expect("slots").iter().map(|slot| slot[field].as_u64().expect("a number")).sum()
}

#[tokio::test]
async fn its_requests_are_counted_and_its_idle_connections_handed_off() {
    within(60, async {
        let (running, addr) = serving(&[]).await;
        let name = &running.name;
        let kept = join_all((0..50).map(|_| Client::connect(addr))).await;
        let mut kept: Vec<_> = kept.into_iter().map(|client| client.expect("a connection")).collect();
        let before = join_all(kept.iter_mut().map(|client| client.get("/"))).await;
        assert!(before.iter().all(Result::is_ok));

        let status = json_of(&["status", "--name", name]).await;
        assert_eq!((sum(&status, "connections"), sum(&status, "requests"), sum(&status, "in_flight")), (50, 50, 0));

        let load = Load::begin(addr, 2).and_kept(addr, 2);
        let report = json_of(&["reload", "--wait", "--name", name]).await;
        load.end().await;
        assert!(sum(&report, "handed_off") >= 50, "{report}");
        assert_eq!((sum(&report, "aborted"), sum(&report, "requests_failed")), (0, 0));
        let after = join_all(kept.iter_mut().map(|client| client.get("/"))).await;
        let ids: Vec<_> = after.into_iter().map(|answer| answer.expect("it lives on").id()).collect();
        assert!(ids.iter().all(|id| ["node-3", "node-4"].contains(&id.as_str())), "{ids:?}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn its_nodes_are_joined_with_each_other_and_not_with_the_command() {
    within(30, async {
        let (running, addr) = serving(&[]).await;
        let expected = json!({ "node-1": ["node-2"], "node-2": ["node-1"] });
        let mut answered = json!({});
        while answered != expected {
            let mut client = Client::connect(addr).await.expect("a connection");
            let id = client.get("/").await.expect("an answer").id();
            let pinged = client.get("/ping").await.expect("an answer").json();
            assert!(pinged["asked"].as_u64() < Some(2), "{pinged}");
            answered[id] = pinged["answered"].clone();
        }
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_killed_node_is_replaced_and_counts_go_on() {
    within(30, async {
        let (mut running, addr) = serving(&["--metrics", "127.0.0.1:0"]).await;
        let old = pids(addr, 2).await;
        let counted = |status: &Value| sum(status, "requests");
        let before = counted(&json_of(&["status", "--name", &running.name]).await);
        send(old[0], Signal::KILL);
        running.logged("ended by SIGKILL").await;
        running.ready(1).await;
        assert!(pids(addr, 2).await.contains(&old[1]), "one node's end is its own");
        let after = counted(&json_of(&["status", "--name", &running.name]).await);
        assert!(after > before, "{after} after {before}");
        client::get(addr, "/measure").await.expect("an answer");
        let metrics = running.seen.iter().find_map(|line| line.split("metrics are served on ").nth(1));
        let metrics: SocketAddr = metrics.and_then(|addr| addr.parse().ok()).expect("an address");
        let mut page = String::new();
        while !page.contains("jobs_done_total{queue=\"mail\"} 1") {
            page = client::get(metrics, "/metrics").await.expect("an answer").body;
        }
        assert!(page.contains("multi_node_requests_total "), "{page}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn without_addresses_each_of_its_servers_has_its_own() {
    within(30, async {
        let plan = Plan { admin: true, ..Plan::default() };
        let mut running = linked(&plan, &["-n", "2"]);
        let (first, second) = (running.addr().await, running.addr().await);
        assert_ne!(first, second);
        running.ready(2).await;
        assert_eq!(pids(first, 2).await.len(), 2);
        assert_eq!(client::get(second, "/").await.expect("an answer").body, "admin\n");

        // A reload keeps them.
        let load = Load::begin(first, 2);
        json_of(&["reload", "--wait", "--name", &running.name]).await;
        load.end().await;
        assert_eq!(client::get(second, "/").await.expect("an answer").body, "admin\n");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn given_addresses_are_for_its_servers_in_their_order() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let unix = format!("unix:{}", path.display());
        let plan = Plan { admin: true, ..Plan::default() };
        let mut running = linked(&plan, &["-n", "2", "--bind", "127.0.0.1:0", "--bind", &unix]);
        let addr = running.addr().await;
        running.ready(2).await;
        assert_eq!(pids(addr, 2).await.len(), 2);
        let mut admin = Client::connect_unix(&path).await.expect("a connection");
        assert_eq!(admin.get("/").await.expect("an answer").body, "admin\n");
        assert_eq!(running.stop().await, Some(0));
        assert!(!path.exists());
    })
    .await;
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_the_cause_of_the_nodes_end() {
    within(30, async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = taken.local_addr().expect("bound").port();
        let mut running = linked(&Plan { port, ..Plan::default() }, &["-n", "1", "--restart", "false"]);
        let line = running.logged("another program has this port").await;
        assert!(line.contains(&format!("127.0.0.1:{port}")), "{line}");
        assert_ne!(running.exit().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn what_a_node_starts_is_no_node() {
    within(30, async {
        let (running, addr) = serving(&[]).await;
        let said = client::get(addr, "/descend").await.expect("an answer").body;
        assert!(said.contains(" listening on "), "a master of its own says where it listens: {said}");
        let pid: u32 = said.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid");
        send(pid, Signal::TERM);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_to_serve_alone_does() {
    within(30, async {
        let (running, addr) = serving(&["-e", "MULTI_NODE=off"]).await;
        assert!(client::get(addr, "/").await.expect("an answer").body.starts_with("master "));
        let status = json_of(&["status", "--name", &running.name]).await;
        assert_eq!(status["slots"][0]["requests"], json!(null));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_file_says_when_nodes_are_recycled_and_how_a_reload_is_tried() {
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("multi-node.toml");
        let settings = "
            max-requests = 20\nmax-age = '1h'\nmax-memory = '4GiB'
            canary = '200ms'\ncanary-requests = 10\ncanary-margin = 0.5
            crash-loop = 3\ncrash-loop-within = '10s'
            peers = true\ncommands-from-nodes = false
        ";
        std::fs::write(&file, settings).expect("written");
        let (mut running, addr) = serving(&["--config", file.to_str().expect("UTF-8")]).await;
        let report = json_of(&["reload", "--wait", "--name", &running.name]).await;
        assert_eq!(report["canary"]["by_answers"], json!(false), "{report}");
        // One of two nodes has half of them.
        for _ in 0..40 {
            client::get(addr, "/").await.expect("an answer");
        }
        running.logged("recycled: ").await;
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_program_is_recycled_by_its_memory_and_age() {
    for (limit, why) in [(["--max-memory", "32KiB"], "memory"), (["--max-age", "1s"], "served")] {
        within(30, async {
            let mut running =
                Running::of(run(&[&limit, &["-n", "1", "--ready-after", "50ms", "--", "sleep", "60"][..]].concat()));
            assert!(running.logged("recycled: ").await.contains(why));
            assert_eq!(running.stop().await, Some(0));
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_that_hangs_is_replaced() {
    within(60, async {
        let (mut running, addr) = serving(&["--hang-timeout", "1s"]).await;
        let mut client = Client::connect(addr).await.expect("a connection");
        client.ask("/block/600000").await.expect("sent");
        running.logged("its runtime was silent for").await;
        running.logged("ended by SIGABRT").await;
        running.ready(1).await;
        assert_eq!(pids(addr, 2).await.len(), 2);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn its_nodes_finish_what_they_have_when_the_command_is_killed() {
    within(30, async {
        let (mut running, addr) = serving(&[]).await;
        let nodes = procfs::children(running.pid());
        let mut client = Client::connect(addr).await.expect("a connection");
        client.ask("/sleep/700").await.expect("sent");
        while sum(&json_of(&["status", "--name", &running.name]).await, "in_flight") == 0 {}
        running.signal(Signal::KILL);
        running.exit().await;
        assert_eq!(client.answer().await.expect("it is answered").status, 200);
        while nodes.iter().any(|pid| procfs::is_alive(*pid)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_of_the_command_keeps_its_sockets_and_loses_no_request() {
    within(60, async {
        let mut running = linked(&Plan { admin: true, ..Plan::default() }, &["-n", "2"]);
        let (addr, admin) = (running.addr().await, running.addr().await);
        running.ready(2).await;
        let load = Load::begin(addr, 2).and_kept(addr, 2);
        for _ in 0..2 {
            let report = running.command(&["upgrade", "--json"]).await;
            assert!(report.status.success(), "{report:?}");
            running.logged("upgrade done").await;
        }
        load.end().await;
        let status = json_of(&["status", "--name", &running.name]).await;
        assert!(sum(&status, "requests") > 0, "{status}");
        assert_eq!(client::get(admin, "/").await.expect("an answer").body, "admin\n");
        let report = json_of(&["reload", "--wait", "--name", &running.name]).await;
        assert_eq!((sum(&report, "aborted"), sum(&report, "requests_failed")), (0, 0));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}
