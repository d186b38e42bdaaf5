//! The metrics that the master exports.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use multi_node_it::{Answer, Client, Plan, Program, get, send, within};
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;

fn plan(nodes: usize) -> Plan {
    Plan { metrics: Some("127.0.0.1:0".to_owned()), ..Plan::nodes(nodes) }
}

/// Where the program serves its metrics, from its log.
async fn address(program: &Program) -> SocketAddr {
    program.logged("metrics are served on ").await;
    let log = program.log();
    let line = log.lines().find_map(|line| line.split("metrics are served on ").nth(1)).expect("logged");
    line.trim().parse().expect("an address")
}

async fn page(program: &Program, path: &str) -> Answer {
    get(address(program).await, path).await.expect("an answer")
}

/// All samples, by name with labels.
async fn samples(program: &Program) -> BTreeMap<String, f64> {
    let page = page(program, "/metrics").await;
    assert!(page.headers.contains("content-type: text/plain; version=0.0.4"), "{}", page.headers);
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        (name.to_owned(), value.parse().expect("a number"))
    };
    page.body.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
}

#[tokio::test]
async fn metrics_tell_of_each_slot_and_of_all() {
    within(30, async {
        let program = Program::serving(plan(2)).await;
        for _ in 0..10 {
            program.get("/").await.expect("an answer");
        }
        let seen = samples(&program).await;
        assert_eq!(seen["multi_node_requests_total"], 10.0);
        assert_eq!(
            seen["multi_node_slot_requests_total{slot=\"0\"}"] + seen["multi_node_slot_requests_total{slot=\"1\"}"],
            10.0
        );
        assert_eq!((seen["multi_node_ready"], seen["multi_node_nodes_serving"]), (1.0, 2.0));
        assert!(seen["multi_node_memory_pss_bytes"] > 100_000.0);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_messages_between_processes_have_done_is_told_of_all_processes_together() {
    within(60, async {
        let mut program = Program::serving(Plan { bus: true, ..plan(2) }).await;
        for text in 0..10 {
            program.get(&format!("/bus/publish/{text}")).await.expect("an answer");
        }
        // Nodes report once a second.
        let seen = loop {
            let seen = samples(&program).await;
            if seen.get("multi_node_bus_published_total").is_some_and(|published| *published >= 10.0) {
                break seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(seen["multi_node_bus_links"] >= 2.0, "one at each node's end: {seen:?}");
        assert_eq!(seen["multi_node_bus_dropped_for_peers_total"], 0.0);
        program.command("reload").await;
        assert!(samples(&program).await["multi_node_bus_published_total"] >= 10.0, "it goes on");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn no_counter_goes_backwards_when_nodes_are_replaced() {
    within(30, async {
        let mut program = Program::serving(plan(2)).await;
        let mut last = samples(&program).await;
        for command in ["reload", "scale 1", "reload", "scale 3", "reload"] {
            for _ in 0..5 {
                program.get("/").await.expect("an answer");
            }
            let pids = program.pids().await;
            let ticket = program.send(command).await;
            // Also while it is under way.
            let answer = loop {
                let now = samples(&program).await;
                for (name, before) in last.iter().filter(|(name, _)| name.contains("_total")) {
                    assert!(
                        now.get(name) >= Some(before),
                        "{name} was {before} and is {:?} after {command}",
                        now.get(name)
                    );
                }
                last = now;
                program.status().await;
                if let Some(answer) = program.answered(ticket) {
                    break answer;
                }
            };
            assert!(answer["Ok"].is_object(), "{command}: {answer}");
            program.gone(pids.into_iter().take(usize::from(command == "reload"))).await;
        }
        assert_eq!(samples(&program).await["multi_node_requests_total"], 25.0);
        let pids = program.pids().await;
        send(pids[0], Signal::KILL);
        program.status_where(|status| status.is_ready() && status.slots[0].restarts == 1).await;
        let seen = samples(&program).await;
        assert_eq!((seen["multi_node_requests_total"], seen["multi_node_restarts_total"]), (25.0, 1.0));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_the_program_measures_is_told_of_all_nodes_together() {
    within(30, async {
        let mut program = Program::serving(plan(2)).await;
        let (mut measured, mut highest) = (0.0, 0);
        // A node reports every second, and the rest when it has drained.
        for command in [None, Some("reload"), Some("scale 1")] {
            for _ in 0..10 {
                highest = highest.max(program.get("/measure").await.expect("an answer").pid());
                measured += 1.0;
            }
            if let Some(command) = command {
                program.command(command).await;
            }
            let mut before = 0.0;
            let seen = loop {
                let seen = samples(&program).await;
                let done = seen.get("jobs_done_total{queue=\"mail\"}").copied().unwrap_or_default();
                assert!(before <= done && done <= measured, "{done} of {measured}, after {before}");
                let all = ["job_seconds_count", "job_bytes_count"].map(|name| seen.get(name).copied());
                let sent = seen.get("sent_bytes_total").copied();
                if done == measured && all == [Some(measured); 2] && sent == Some(measured / 4.0) {
                    break seen;
                }
                before = done;
            };
            assert_eq!(seen["job_seconds_bucket{le=\"0.25\"}"], 0.0);
            assert_eq!(seen["job_seconds_bucket{le=\"0.5\"}"], measured);
            assert_eq!(seen["job_bytes_bucket{le=\"256\"}"], 0.0);
            assert_eq!(seen["job_bytes_bucket{le=\"512\"}"], measured);
            assert!(seen.contains_key("answers_count{kind=\"a \\\"b\\\"\\n\"}"), "{seen:?}");
            if command.is_none() {
                assert_eq!(seen["oldest_job_seconds"], f64::from(highest), "the highest of all nodes");
            }
        }
        program.logged("the metric `multi_node_requests_total` is not told: names that begin with").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn readiness_is_told_before_nodes_stop_accepting() {
    within(30, async {
        let shutdown_delay = std::time::Duration::from_secs(60);
        let mut program = Program::serving(Plan { shutdown_delay, ..plan(2) }).await;
        let ready = page(&program, "/readyz").await;
        assert_eq!((ready.status, ready.body.as_str()), (200, "2 of 2 serve\n"));
        program.signal(Signal::TERM);
        program.status_where(|status| status.wanted == 0).await;
        assert_eq!(page(&program, "/readyz").await.status, 503);
        assert_eq!(page(&program, "/healthz").await.status, 200);
        program.get("/").await.expect("they still accept");
        program.signal(Signal::QUIT); // at once, since nobody waits any more
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn the_status_is_json_and_other_requests_are_refused() {
    within(30, async {
        let program = Program::serving(plan(1)).await;
        let status = page(&program, "/status").await.json();
        assert_eq!((&status["ready"], &status["slots"][0]["id"]), (&json!(true), &json!("node-1")));
        assert_eq!(page(&program, "/").await.status, 404);
        let mut client = Client::connect(address(&program).await).await.expect("a connection");
        client.send("DELETE /metrics HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
        assert_eq!(client.answer().await.expect("an answer").status, 405);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_said() {
    within(30, async {
        let first = Program::serving(plan(1)).await;
        let taken = address(&first).await.to_string();
        let metrics = Some(taken.clone());
        let fixture = multi_node_it::program::fixture();
        let mut second = Program::launch(&fixture, Plan { metrics, ..Plan::nodes(1) }, |_| {});
        assert_eq!(second.exit().await, Some(1));
        second.logged(&format!("cannot listen on {taken}: address already in use")).await;
        first.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_serves_alone_has_metrics_too() {
    within(30, async {
        let program = Program::serving(plan(0)).await;
        program.get("/").await.expect("an answer");
        let seen = samples(&program).await;
        assert_eq!((seen["multi_node_requests_total"], seen["multi_node_slot_serving{slot=\"0\"}"]), (1.0, 1.0));
        program.stop().await;
    })
    .await;
}

/// Whether the master answers, several times in a row.
async fn is_healthy(address: SocketAddr) {
    for _ in 0..5 {
        assert_eq!(get(address, "/healthz").await.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn health_is_told_although_somebody_holds_all_connections() {
    within(60, async {
        let program = Program::serving(plan(1)).await;
        let address = address(&program).await;
        let mut idle = Vec::new();
        for _ in 0..64 {
            idle.push(TcpStream::connect(address).await.expect("a connection"));
        }
        is_healthy(address).await;
        let mut deaf = Vec::new();
        for _ in 0..64 {
            let stream = TcpStream::connect(address).await.expect("a connection");
            // These answers fill all buffers on their way; none of them is read.
            let requests = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2000);
            stream.writable().await.expect("open");
            let _ = stream.try_write(requests.as_bytes());
            deaf.push(stream);
        }
        is_healthy(address).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_status_is_not_told_to_foreign_names() {
    within(30, async {
        let program = Program::serving(plan(1)).await;
        let address = address(&program).await;
        for (host, status) in [("localhost", 200), ("127.0.0.1:1", 200), ("evil.example", 421), ("", 200)] {
            let mut client = Client::connect(address).await.expect("a connection");
            client.send(&format!("GET /status HTTP/1.1\r\nhost: {host}\r\n\r\n")).await.expect("sent");
            assert_eq!(client.answer().await.expect("an answer").status, status, "{host:?}");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_has_the_mode_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    within(30, async {
        let path = std::env::temp_dir().join(format!("multi-node-metrics-{}.sock", std::process::id()));
        let metrics = Some(format!("unix:{}", path.display()));
        let program = Program::serving(Plan { metrics, ..Plan::nodes(1) }).await;
        let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).expect("a umask").trim().to_owned();
        let umask = u32::from_str_radix(&umask, 8).expect("octal");
        let mode = std::fs::metadata(&path).expect("it is bound").permissions().mode();
        assert_eq!(mode & 0o777, 0o777 & !umask);
        program.stop().await;
    })
    .await;
}
