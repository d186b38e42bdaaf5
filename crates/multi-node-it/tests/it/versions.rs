//! Nodes and masters of different releases, which speak different versions of the control protocol.

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use multi_node_it::frames::{Frames, name};
use multi_node_it::old_node::{MARK, STRANGE};
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

/// Checks that no node has died, nor heard what it does not understand.
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
        let answer = program.order("reload").await;
        assert_eq!(answer["Ok"]["slots"].as_array().map(Vec::len), Some(2), "{answer}");
        all_is_well(&mut program).await;
        assert!(!is_old(&program).await);

        Fault::SpeakVersionOne.lay(faults.path());
        let answer = program.order("reload").await;
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
        let answer = program.order("reload").await;
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
        let answer = program.order("reload").await;
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
        let answer = program.order("reload").await;
        let why = answer["Err"]["failed"]["why"].as_str().unwrap_or_else(|| panic!("{answer} is no failure"));
        let reason = "the program speaks control protocol 9 to 9, its master 1 to 2; restart the program as a whole";
        assert!(why.contains(reason), "{why}");
        assert_eq!(program.pids().await, pids, "the old node serves on");
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
        .env("MULTI_NODE_SEAT", format!("{}:0:node-1", std::process::id()))
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

/// A load table of 64 lines, as a master hands it out.
fn load_table() -> OwnedFd {
    let file = memfd_create("load", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
    ftruncate(&file, 128 * 65).expect("our file");
    let mut file = File::from(file);
    file.write_all(&0x6d6e_2d6c_6f61_6400_u64.to_ne_bytes()).expect("our file");
    file.write_all(&1_u32.to_ne_bytes()).expect("our file");
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).expect("our file");
    file.into()
}

/// Welcomes the node as a master of version 1 does; returns where it serves.
fn welcome(node: &mut Frames) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("our socket");
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
    let seconds = |secs: u64, nanos: u32| json!({ "secs": secs, "nanos": nanos });
    let settings = json!({ "drain_timeout": seconds(5, 0), "heartbeat": seconds(0, 100_000_000), "signals": true });
    let welcome = json!({
        "version": 1, "id": 1, "slot": 0, "generation": 0, "settings": settings, "line": 0, "servers": [["tcp"]],
    });
    let fds = [load_table(), bell];
    let fds = [fds[0].as_fd(), fds[1].as_fd(), socket.as_fd()];
    node.send(&json!({ "welcome": welcome }), &fds).expect("a node that reads");
    socket.local_addr().expect("it is bound")
}

#[tokio::test]
async fn a_new_node_serves_under_an_old_master() {
    within(30, async {
        let (mut child, mut node) = start_node();
        let (lowest, highest) = versions(&mut node);
        assert!(lowest <= 1 && highest >= 2, "{lowest} to {highest}");
        let addr = welcome(&mut node);
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
