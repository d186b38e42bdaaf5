//! Nodes and masters of different releases, which speak different versions of the control protocol.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use multi_node::Status;
use multi_node_it::frames::{Frames, name};
use multi_node_it::old_node::{MARK, STRANGE, UNKNOWN_KINDS};
use multi_node_it::plan::VARIABLE;
use multi_node_it::program::fixture;
use multi_node_it::{Fault, Plan, Program, get, within};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A program whose nodes are of another release, as long as the fault is laid.
async fn serving(fault: Fault, plan: Plan) -> (Program, TempDir) {
    let faults = tempfile::tempdir().expect("a temporary folder");
    fault.lay(faults.path());
    let program = Program::serving(Plan { faults: faults.path().into(), ..plan }).await;
    (program, faults)
}

/// Whether a node of another release answers.
async fn is_old(program: &Program) -> bool {
    program.get("/").await.expect("an answer").body.contains(MARK)
}

/// Checks that no node has died, nor received messages that it does not understand.
async fn all_is_well(program: &mut Program) {
    let status = program.at_rest().await;
    assert!(status.slots.iter().all(|slot| slot.restarts == 0), "{status:?}");
    assert!(!program.log().contains(STRANGE), "a node was told what its version does not have");
}

#[tokio::test]
async fn old_nodes_serve_under_a_new_master_until_a_reload_replaces_them() {
    within(30, async {
        let (mut program, faults) = serving(Fault::SpeakVersionOne, Plan::nodes(2)).await;
        assert!(is_old(&program).await);
        all_is_well(&mut program).await;

        Fault::SpeakVersionOne.lift(faults.path());
        let answer = program.command("reload").await;
        assert_eq!(answer["Ok"]["slots"].as_array().map(Vec::len), Some(2), "{answer}");
        all_is_well(&mut program).await;
        assert!(!is_old(&program).await);

        Fault::SpeakVersionOne.lay(faults.path());
        let answer = program.command("reload").await;
        assert!(answer["Ok"].is_object(), "back to the old release: {answer}");
        assert!(is_old(&program).await);
        all_is_well(&mut program).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_old_node_is_not_paused_for_the_trial_of_a_new_one() {
    within(30, async {
        let plan = Plan { canary: Some((Duration::from_millis(500), 100)), ..Plan::nodes(2) };
        let (mut program, faults) = serving(Fault::SpeakVersionOne, plan).await;
        Fault::SpeakVersionOne.lift(faults.path());
        let answer = program.command("reload").await;
        assert!(answer["Ok"]["canary"].is_object(), "{answer}");
        assert!(!is_old(&program).await);
        all_is_well(&mut program).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn old_nodes_do_not_notice_that_their_master_is_replaced() {
    within(30, async {
        let (mut program, faults) = serving(Fault::SpeakVersionOne, Plan::nodes(2)).await;
        program.upgrade().await.expect("a new master");
        assert!(is_old(&program).await);
        all_is_well(&mut program).await;

        // What was said to them so far has been read when they end.
        Fault::SpeakVersionOne.lift(faults.path());
        let answer = program.command("reload").await;
        assert!(answer["Ok"].is_object(), "{answer}");
        all_is_well(&mut program).await;
        assert!(!is_old(&program).await);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_versions_the_master_does_not_speak_is_refused() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let pids = program.pids().await;
        Fault::SpeakVersionNine.lay(&program.faults());
        let answer = program.command("reload").await;
        let why = answer["Err"]["failed"]["why"].as_str().unwrap_or_else(|| panic!("{answer} is no failure"));
        let reason = "the program speaks control protocol 9 to 9, its master 1 to 2; restart the program as a whole";
        assert!(why.contains(reason), "{why}");
        assert_eq!(program.pids().await, pids, "the old node serves on");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_later_nodes_say_more_is_skipped_and_counted() {
    within(30, async {
        let plan = Plan { metrics: Some("127.0.0.1:0".to_owned()), ..Plan::nodes(2) };
        let (mut program, faults) = serving(Fault::SpeakMore, plan).await;
        let all = |status: &Status| status.slots.iter().all(|slot| slot.skipped_messages == UNKNOWN_KINDS);
        program.status_where(all).await;
        assert!(is_old(&program).await);
        all_is_well(&mut program).await;

        Fault::SpeakMore.lift(faults.path());
        let answer = program.command("reload").await;
        assert!(answer["Ok"].is_object(), "from the later release to this one: {answer}");
        assert!(!is_old(&program).await);
        // What was counted stays.
        assert!(all(&program.at_rest().await));
        Fault::SpeakMore.lay(faults.path());
        let answer = program.command("reload").await;
        assert!(answer["Ok"].is_object(), "and back: {answer}");
        program.status_where(|s| s.slots.iter().all(|slot| slot.skipped_messages == 2 * UNKNOWN_KINDS)).await;
        program.upgrade().await.expect("a new master");
        assert!(is_old(&program).await);
        all_is_well(&mut program).await;
        program.stop().await;
    })
    .await;
}

/// Starts the fixture program as the node of this process, which is its master.
fn start_node() -> (Child, Frames) {
    let (ours, theirs) = UnixStream::pair().expect("a socketpair");
    theirs.set_nonblocking(true).expect("our socket");
    let plan = serde_json::to_string(&Plan::default()).expect("a plan is JSON");
    let node = Command::new(fixture())
        .env(VARIABLE, plan)
        .env("MULTI_NODE_PARENT", format!("{}:0:node-1", std::process::id()))
        .env("RUST_BACKTRACE", "0")
        .stdin(OwnedFd::from(theirs))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the fixture starts");
    (node, Frames::new(ours).expect("our socket"))
}

fn hear(node: &mut Frames) -> Value {
    node.receive().expect("a frame").expect("a node that lives").0
}

/// Reads the node's hello, and returns the versions that it speaks.
fn versions(node: &mut Frames) -> (u64, u64) {
    let hello = &hear(node)["hello"];
    assert_eq!(hello["addresses"], json!([["127.0.0.1:0"]]));
    let number = |which: &str| hello["versions"][which].as_u64().expect("a number");
    (number("lowest"), number("highest"))
}

/// How many messages the node in the first line of the table has skipped.
fn skipped(load_table: &File) -> u64 {
    let mut count = [0; 8];
    load_table.read_exact_at(&mut count, 128 + 96).expect("our file");
    u64::from_ne_bytes(count)
}

/// A load table of 64 lines, as a master hands it out.
fn load_table() -> File {
    let file = memfd_create("load", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
    ftruncate(&file, 128 * 65).expect("our file");
    let mut file = File::from(file);
    file.write_all(&0x6d6e_2d6c_6f61_6400_u64.to_ne_bytes()).expect("our file");
    file.write_all(&1_u32.to_ne_bytes()).expect("our file");
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).expect("our file");
    file
}

/// Welcomes the node as a master of version 1 does; returns where it serves.
fn hello_ack(node: &mut Frames) -> SocketAddr {
    welcome_with(node, &json!({ "version": 1 })).0
}

/// Welcomes the node with these fields too; returns where it serves, and the load table.
fn welcome_with(node: &mut Frames, fields: &Value) -> (SocketAddr, File) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("our socket");
    let wake_fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
    let seconds = |secs: u64, nanos: u32| json!({ "secs": secs, "nanos": nanos });
    let settings = json!({ "drain_timeout": seconds(5, 0), "heartbeat": seconds(0, 100_000_000), "signals": true });
    let mut hello_ack = json!({
        "id": 1, "slot": 0, "generation": 0, "settings": settings, "line": 0, "load": 0, "wake_fd": 1, "servers": [[["tcp", 2]]],
    });
    let fields = fields.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
    hello_ack.as_object_mut().expect("a map").extend(fields);
    let load = load_table();
    let fds = [load.as_fd(), wake_fd.as_fd(), socket.as_fd()];
    node.send(&json!({ "hello_ack": hello_ack }), &fds).expect("a node that reads");
    (socket.local_addr().expect("it is bound"), load)
}

/// What a master of a later release adds to a welcome.
fn later() -> Value {
    json!({ "version": 2, "capabilities": ["skips_unknown", "weighs"], "slots": 1, "mood": { "is": "good" } })
}

#[tokio::test]
async fn what_a_later_master_says_more_is_skipped_and_counted() {
    within(30, async {
        let (_child, mut node) = start_node();
        let hello = hear(&mut node)["hello"].clone();
        assert_eq!(
            hello["capabilities"],
            json!([
                "skips_unknown",
                "handoff_hello",
                "handoff_offers",
                "handoff_when_busy",
                "late_streams",
                "limits",
                "bus",
                "tls",
                "leases",
                "gateway"
            ])
        );
        node.send(&json!("stretches"), &[]).expect("a node that reads");
        let (addr, load) = welcome_with(&mut node, &later());
        let null = File::open("/dev/null").expect("/dev/null");
        node.send(&json!({ "lends": { "what": ["null", 7] } }), &[null.as_fd(), null.as_fd()]).expect("it reads");
        while hear(&mut node) != "ready" {}
        // Known kinds with unknown fields are read as usual.
        node.send(&json!({ "gone": { "id": 7, "why": "later" } }), &[]).expect("a node that reads");
        node.send(&json!("yawns"), &[]).expect("a node that reads");
        // What came before the welcome was skipped too, and there was no line yet to count it in.
        while skipped(&load) < 2 {
            assert_eq!(name(&hear(&mut node)), "beat");
        }
        assert_eq!(get(addr, "/").await.expect("an answer").id(), "node-1");
    })
    .await;
}

/// A node that is joined with a peer: this process, at the other end of the hand-off stream.
fn joined(fields: &Value) -> (Child, Frames, File, Frames) {
    let (child, mut node) = start_node();
    versions(&mut node);
    let (_, load) = welcome_with(&mut node, &later());
    while hear(&mut node) != "ready" {}
    let ((_ours, stream), (ours, handoff)) =
        (UnixStream::pair().expect("a socketpair"), UnixStream::pair().expect("a socketpair"));
    stream.set_nonblocking(true).expect("our socket");
    let peer = json!({ "id": 2, "slot": 1, "pid": 1, "draining": false, "epoch": 0, "mood": "good" });
    let mut join = json!({ "peer": peer, "stream": 0, "handoff": 1 });
    join.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
    node.send(&json!({ "joined": { "peers": [join] } }), &[stream.as_fd(), handoff.as_fd()])
        .expect("a node that reads");
    (child, node, load, Frames::new(ours).expect("our socket"))
}

/// Offers the node a connection, and returns its client once the node has answered.
fn offer(handoff: &mut Frames, fields: &Value) -> std::net::TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = std::net::TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (server, _) = listener.accept().expect("a client");
    server.set_nonblocking(true).expect("our socket");
    let end = |port: u16| json!({ "Tcp": { "V4": [[127, 0, 0, 1], port] } });
    let mut offer =
        json!({ "number": 9, "server": 0, "before": [], "info": { "peer": end(1), "local": end(2) }, "socket": 0 });
    offer.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
    handoff.send(&json!({ "offer": offer }), &[server.as_fd()]).expect("a node that reads");
    assert_eq!(hear(handoff), json!({ "taken": { "number": 9 } }));
    client
}

/// The node serves the connection that it has taken.
fn answers(mut client: std::net::TcpStream) {
    client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("node-1 "), "{answer}");
}

#[tokio::test]
async fn a_node_takes_the_connections_of_a_later_peer() {
    within(30, async {
        let (_child, _node, load, mut handoff) = joined(&json!({ "greets": true, "weight": 7 }));
        let hello = hear(&mut handoff);
        let said = json!({ "versions": { "lowest": 1, "highest": 1 }, "capabilities": ["takes_offers", "takes_offers_when_busy"] });
        assert_eq!(hello["hello"], said);
        let versions = json!({ "lowest": 1, "highest": 7 });
        let hello = json!({ "versions": versions, "capabilities": ["takes_offers", "weighs"], "mood": "good" });
        handoff.send(&json!({ "hello": hello }), &[]).expect("a node that reads");
        let null = File::open("/dev/null").expect("/dev/null");
        handoff.send(&json!({ "lends": { "what": "null" } }), &[null.as_fd()]).expect("a node that reads");
        handoff.send(&json!("stretches"), &[]).expect("a node that reads");
        answers(offer(&mut handoff, &json!({ "later": [1, 2] })));
        assert_eq!(skipped(&load), 2);
    })
    .await;
}

#[tokio::test]
async fn a_node_takes_the_connections_of_a_peer_that_does_not_greet() {
    within(30, async {
        let (_child, _node, load, mut handoff) = joined(&json!({}));
        answers(offer(&mut handoff, &json!({})));
        assert_eq!(skipped(&load), 0);
    })
    .await;
}

/// What becomes of an idle connection when the node drains, whose only successor says this first.
fn drains_beside(hello: &Value) -> bool {
    let (_child, mut node, _load, mut handoff) = joined(&json!({ "greets": true }));
    assert_eq!(name(&hear(&mut handoff)), "hello");
    let client = offer(&mut handoff, &json!({}));
    handoff.send(hello, &[]).expect("a node that reads");
    let drain = json!({ "within": { "secs": 1, "nanos": 0 }, "successors": [[2]] });
    node.send(&json!({ "drain": drain }), &[]).expect("a node that reads");
    let offered = handoff.receive().expect("frames").is_some_and(|(message, _)| name(&message) == "offer");
    drop(client);
    offered
}

#[tokio::test]
async fn connections_are_offered_to_those_that_say_that_they_take_them() {
    within(30, async {
        let hello = |highest: u32, capabilities: &[&str]| {
            let versions = json!({ "lowest": highest.min(1), "highest": highest });
            json!({ "hello": { "versions": versions, "capabilities": capabilities } })
        };
        assert!(drains_beside(&hello(1, &["takes_offers"])));
        assert!(drains_beside(&hello(9, &["weighs", "takes_offers"])));
        assert!(!drains_beside(&hello(9, &["weighs"])), "it does not say so");
        assert!(!drains_beside(&hello(0, &["takes_offers"])), "no common version");
    })
    .await;
}

#[tokio::test]
async fn a_new_node_serves_under_an_old_master() {
    within(30, async {
        let (mut child, mut node) = start_node();
        let (lowest, highest) = versions(&mut node);
        assert!(lowest <= 1 && highest >= 2, "{lowest} to {highest}");
        let addr = hello_ack(&mut node);
        while hear(&mut node) != "ready" {}
        let answer = get(addr, "/").await.expect("an answer");
        assert_eq!((answer.id(), Some(answer.pid())), ("node-1".to_owned(), child.id()));

        let drain = json!({ "drain": { "within": { "secs": 4, "nanos": 500_000_000 } } });
        node.send(&drain, &[]).expect("a node that reads");
        while let Some((message, _)) = node.receive().expect("a frame") {
            assert_eq!(name(&message), "beat", "version 1 has no {message} of a node that drains");
        }
        assert_eq!(child.wait().await.expect("it is our child").code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_node_that_its_master_refuses_says_why() {
    within(30, async {
        let (child, mut node) = start_node();
        versions(&mut node);
        node.send(&json!({ "refused": { "why": "this master speaks control protocol 9" } }), &[]).expect("it reads");
        let ended = child.wait_with_output().await.expect("it is our child");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("this master speaks control protocol 9"), "{said}");
        assert_eq!(ended.status.code(), Some(1));
    })
    .await;
}
