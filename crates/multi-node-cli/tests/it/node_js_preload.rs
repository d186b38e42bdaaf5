//! Node.js programs that are not changed: their connections move to other nodes in a drain, by the preload.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use multi_node_it::client::{self, Client};
use multi_node_it::{needs, within};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::command::{Running, app, json_of, multi_node, output, run};

/// The program in two nodes, run by this Node.js.
async fn start(node: &str, options: &[&str]) -> (Running, SocketAddr) {
    let program = app("moves.js");
    let args = [&["-n", "2", "--settle", "100ms"], options, &["--", node, &program]].concat();
    let mut running = Running::start(&args);
    let addr = running.addr().await;
    running.ready(2).await;
    (running, addr)
}

async fn reload(running: &Running) {
    let output = running.command(&["reload", "--wait"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// The process that answers on this connection.
async fn pid(client: &mut Client) -> String {
    let answer = client.get("/7").await.expect("an answer on the same connection");
    answer.body.strip_prefix("7 ").expect("the number that was asked for").to_owned()
}

/// What a node of this name has of the preload.
async fn shown(running: &Running) -> BTreeSet<String> {
    let status = json_of(&["status", "--name", &running.name]).await;
    let slots = status["slots"].as_array().expect("slots").clone();
    slots.iter().map(|slot| slot["preload"].as_str().unwrap_or("none").to_owned()).collect()
}

/// Connections of all kinds live through reloads that wait for none of them.
pub(crate) async fn moves_connections(node: &str) {
    let (running, addr) = start(node, &[]).await;
    assert_eq!(shown(&running).await, BTreeSet::from(["on".to_owned()]));
    let mut asked = Client::connect(addr).await.expect("a connection");
    let mut silent = Client::connect(addr).await.expect("a connection");
    let mut before = pid(&mut asked).await;
    for _ in 0..3 {
        let pipelined = tokio::spawn(pipeline(addr));
        let posted = tokio::spawn(post(addr));
        reload(&running).await;
        let now = pid(&mut asked).await;
        assert_ne!(now, before, "another process answers");
        before = now;
        pipelined.await.expect("all requests are answered in their order");
        posted.await.expect("all bodies come back");
    }
    pid(&mut silent).await;
    assert_eq!(running.stop().await, Some(0));
}

/// Eight requests are always under way on one connection.
async fn pipeline(addr: SocketAddr) {
    const AHEAD: u32 = 8;
    let mut client = Client::connect(addr).await.expect("a connection");
    let mut processes = BTreeSet::new();
    for number in 0..AHEAD {
        client.ask(&format!("/{number}")).await.expect("sent");
    }
    let begun = std::time::Instant::now();
    let mut number = 0;
    while processes.len() < 2 || begun.elapsed() < Duration::from_millis(500) {
        let answer = client.answer().await.unwrap_or_else(|error| panic!("request {number}: {error:#}"));
        let (asked, pid) = answer.body.split_once(' ').expect("a number and a process");
        assert_eq!(asked, number.to_string(), "answers come in the order of requests");
        processes.insert(pid.to_owned());
        client.ask(&format!("/{}", number + AHEAD)).await.expect("sent");
        number += 1;
    }
}

/// Bodies that come in two parts, with a pause between.
async fn post(addr: SocketAddr) {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let mut text = Vec::new();
    for number in 0..20 {
        let body = format!("body {number:03} ends");
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&body.as_bytes()[..4]).await.expect("sent");
        tokio::time::sleep(Duration::from_millis(30)).await;
        stream.write_all(&body.as_bytes()[4..]).await.expect("sent");
        while !String::from_utf8_lossy(&text).contains(&body) {
            assert_ne!(stream.read_buf(&mut text).await.expect("readable"), 0, "closed before {body}");
        }
    }
}

#[tokio::test]
async fn connections_move_in_a_reload() {
    if needs::program("node") {
        within(60, moves_connections("node")).await;
    }
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_where_it_began() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (running, addr) = start("node", &[]).await;
        let mut client = Client::connect(addr).await.expect("a connection");
        let old = pid(&mut client).await;
        client.send("GET /1 HT").await.expect("sent");
        let name = running.name.clone();
        let reload = tokio::spawn(async move { output(&["reload", "--wait", "--name", &name]).await });
        // Only the node that has the partial head is left of its generation.
        loop {
            let status = json_of(&["status", "--name", &running.name]).await;
            let slots = status["slots"].as_array().expect("slots").clone();
            let draining = slots.iter().filter(|slot| slot["state"] == "draining").collect::<Vec<_>>();
            if draining.len() == 1 && draining[0]["pid"].as_u64() == old.parse().ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        client.send("TP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
        assert_eq!(client.answer().await.expect("an answer").body, format!("1 {old}"));
        assert_ne!(pid(&mut client).await, old);
        assert_eq!(reload.await.expect("no panic").status.code(), Some(0));
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_events_goes_on_until_the_drain_is_over() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let (running, addr) = start("node", &["--drain-timeout", "2s"]).await;
        let mut events = TcpStream::connect(addr).await.expect("a connection");
        events.write_all(b"GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
        let mut idle = Client::connect(addr).await.expect("a connection");
        pid(&mut idle).await;
        let begun = std::time::Instant::now();
        let reading = tokio::spawn(async move {
            // Its node is killed when its time is over.
            let _ = events.read_to_end(&mut Vec::new()).await;
            begun.elapsed()
        });
        reload(&running).await;
        pid(&mut idle).await;
        assert!(reading.await.expect("no panic") >= Duration::from_secs(2), "it was cut before the drain timeout");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn children_and_worker_threads_find_nothing_of_it() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let mut command = run(&["-n", "1", "--", "node", &app("moves.js")]);
        command.env("NODE_OPTIONS", "--no-deprecation").stdout(Stdio::null());
        let mut running = Running::of(command);
        let addr = running.addr().await;
        running.ready(1).await;
        let found = client::get(addr, "/inside").await.expect("an answer").json();
        for place in ["own", "child", "thread"] {
            assert_eq!(found[place]["options"], "--no-deprecation", "{place}: {found}");
            assert!(found[place]["preload"].is_null(), "{place}: {found}");
        }
        assert_eq!((&found["child"]["listeners"], &found["thread"]["listeners"]), (&0.into(), &0.into()), "{found}");
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn it_can_be_turned_off_and_the_status_says_why() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let cases = [
            (&["--no-preload"][..], "off: --no-preload"),
            (&["-e", "MULTI_NODE_PRELOAD=off"], "off: MULTI_NODE_PRELOAD=off"),
        ];
        for (options, expected) in cases {
            let (running, addr) = start("node", options).await;
            assert_eq!(shown(&running).await, BTreeSet::from([expected.to_owned()]));
            client::get(addr, "/1").await.expect("an answer");
            assert_eq!(running.stop().await, Some(0));
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_runtime_directory_nodes_serve_without_it_and_one_warning_says_so() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("multi-node"), "").expect("a file in the way");
        let mut command = run(&["-n", "2", "--control", "off", "--", "node", &app("moves.js")]);
        command.env("XDG_RUNTIME_DIR", folder.path()).stdout(Stdio::null());
        let mut running = Running::of(command);
        let addr = running.addr().await;
        running.ready(2).await;
        client::get(addr, "/1").await.expect("an answer");
        let warnings = running.seen.iter().filter(|line| line.contains("run without the preload")).count();
        assert_eq!(warnings, 1);
        assert_eq!(running.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn in_a_version_that_it_does_not_know_it_does_nothing_and_one_warning_says_so() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let folder = tempfile::tempdir().expect("a folder");
        let (other, node) = (folder.path().join("other.js"), folder.path().join("node"));
        let versions = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '98.0.0' } })";
        std::fs::write(&other, versions).expect("a file of ours");
        let script =
            format!("#!/bin/sh\nNODE_OPTIONS=\"--require {} $NODE_OPTIONS\" exec node \"$@\"\n", other.display());
        std::fs::write(&node, script).expect("a file of ours");
        std::fs::set_permissions(&node, PermissionsExt::from_mode(0o755)).expect("a file of ours");
        let (mut running, addr) = start(&node.to_string_lossy(), &[]).await;
        let why = "the preload does not know Node.js 98";
        assert_eq!(shown(&running).await, BTreeSet::from([format!("off: {why}")]));
        let mut kept = Client::connect(addr).await.expect("a connection");
        pid(&mut kept).await;
        reload(&running).await;
        assert!(kept.get("/7").await.is_err(), "the connection is closed, as by Node.js alone");
        client::get(addr, "/1").await.expect("an answer");
        running.signal(rustix::process::Signal::TERM);
        assert_eq!(running.exit().await, Some(0));
        assert_eq!(running.seen.iter().filter(|line| line.contains(why)).count(), 1);
    })
    .await;
}

/// One client's session of HTTP/2, and what it has seen when that closes.
struct Http2 {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Http2 {
    /// Returns when it asks.
    async fn start(url: &str) -> Http2 {
        let mut command = Command::new("node");
        command.args([&app("http2-client.js"), url]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the client starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut client = Http2 { child, lines };
        assert_eq!(client.line().await, "asks");
        client
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.expect("readable").expect("a line")
    }

    /// The session has ended without loss. The process that answered.
    async fn ended_well(mut self) -> String {
        let report: Value = serde_json::from_str(&self.line().await).expect("its report");
        assert_eq!(report["goaway"], 0, "{report}");
        assert_eq!((&report["failed"], &report["open"]), (&Value::Array(Vec::new()), &0.into()), "{report}");
        assert!(report["answered"].as_u64() >= Some(2) && report["refused"].as_u64() <= Some(2), "{report}");
        assert!(self.child.wait().await.expect("it ends").success());
        let processes = report["processes"].as_array().expect("processes");
        assert_eq!(processes.len(), 1, "{report}");
        processes[0].as_str().expect("a process").to_owned()
    }
}

#[tokio::test]
async fn sessions_of_http2_are_told_to_go_away_and_lose_no_stream() {
    if !needs::program("node") {
        return;
    }
    within(60, async {
        let mut running = Running::start(&["-n", "2", "--settle", "100ms", "--", "node", &app("http2.js")]);
        let (plain, secure) = (running.addr().await, running.addr().await);
        running.ready(2).await;
        // Some for each node, the first of its connections too.
        let urls = [format!("http://{plain}"), format!("https://{secure}")];
        let mut clients = Vec::new();
        for url in urls.iter().cycle().take(8) {
            clients.push(Http2::start(url).await);
        }
        reload(&running).await;
        let mut processes = BTreeSet::new();
        for client in clients {
            processes.insert(client.ended_well().await);
        }
        assert_eq!(processes.len(), 2, "both nodes had sessions");
        running.signal(rustix::process::Signal::TERM);
        assert_eq!(running.exit().await, Some(0));
        assert!(running.seen.iter().all(|line| !line.contains("killing it")), "no session outlives its client");
    })
    .await;
}

#[tokio::test]
async fn the_command_shows_it() {
    let shown = multi_node(&["run", "--print-preload"]).output().await.expect("the command starts");
    assert!(shown.status.success(), "{shown:?}");
    let expected = include_str!("../../../multi-node-run/src/program/preload.js");
    assert_eq!(String::from_utf8_lossy(&shown.stdout), expected);
}
