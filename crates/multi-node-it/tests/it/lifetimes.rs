//! Who is what, what `listen` refuses, and nodes that do not play by the rules.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use multi_node::status::State;
use multi_node_it::program::fixture;
use multi_node_it::{Fault, Plan, Program, client, needs, procfs, send, within};
use rustix::process::{Signal, geteuid};
use serde_json::json;

const SECOND: &str = "`listen` was called before in this process; one call serves several addresses: \
                      `http(a).and(\"127.0.0.1:9090\", http(b))`";

#[tokio::test]
async fn processes_are_told_apart() {
    within(10, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        assert_eq!(procfs::name(program.pid).as_deref(), Some("fixture"));
        for (slot, pid) in program.pids().await.into_iter().enumerate() {
            assert_eq!(procfs::name(pid), Some(format!("fixture:{slot}")));
        }
        program.signal(Signal::TERM);
        program.ends_well().await;
        for node in ["node{id=node-1 slot=0}: multi_node: ", "node{id=node-2 slot=1}: multi_node: "] {
            assert!(program.log().contains(node), "{}", program.log());
        }
    })
    .await;
}

#[tokio::test]
async fn all_processes_may_open_as_many_files_as_the_system_allows() {
    within(10, async {
        let mut program = Program::run(Path::new("sh"), Plan::nodes(2), |command| {
            command.arg("-c").arg("ulimit -S -n 128 && exec \"$0\"").arg(fixture());
        })
        .await;
        for pid in [vec![program.pid], program.pids().await].concat() {
            let (own, most) = procfs::open_files(pid).expect("it lives");
            assert_eq!(own, most);
            assert_ne!(own, "128");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_second_call_of_listen_is_an_error() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        assert_eq!(program.command("listen").await, json!({ "Err": SECOND }), "in the master");
        let answer = program.get("/order/listen").await.expect("an answer");
        assert_eq!(answer.body, json!({ "Err": SECOND }).to_string(), "in a node");
        program.stop().await;
    })
    .await;
}

/// What a program says that cannot listen.
pub(crate) async fn refusal(mut program: Program) -> String {
    assert_eq!(program.exit().await, Some(1));
    let log = program.log();
    assert!(!log.contains("started"), "no node is started before all addresses are bound: {log}");
    log.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_address_in_use_is_told_at_once() {
    within(30, async {
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = other.local_addr().expect("a port").port();
        let program = Program::launch(&fixture(), Plan { port, ..Plan::nodes(2) }, |_| {});
        let error = format!(
            "Error: cannot listen on 127.0.0.1:{port}: address already in use; another program has this port \
             (`ss -ltnp 'sport = :{port}'` tells which); stop it or choose another"
        );
        assert_eq!(refusal(program).await, error);
    })
    .await;
}

#[tokio::test]
async fn a_forbidden_port_is_told_with_the_remedy() {
    within(30, async {
        let unprivileged = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        if unprivileged.is_ok_and(|first| first.trim().parse().is_ok_and(|first: u16| first <= 80)) {
            return needs::skip("everyone may bind port 80 here (net.ipv4.ip_unprivileged_port_start)");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copy = folder.path().join("fixture");
        std::fs::copy(fixture(), &copy).expect("a copy of the fixture");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("a folder of ours");
        let program = Program::launch(&copy, Plan { port: 80, ..Plan::nodes(2) }, |command| {
            command.current_dir("/");
            if geteuid().is_root() {
                const NOBODY: u32 = 65534;
                command.uid(NOBODY).gid(NOBODY);
            }
        });
        let error = "Error: cannot listen on 127.0.0.1:80: permission denied; \
                     ports below 1024 need root or CAP_NET_BIND_SERVICE";
        assert_eq!(refusal(program).await, error);
    })
    .await;
}

#[tokio::test]
async fn a_node_s_descendant_is_a_master_of_its_own() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        let said = program.get("/descend").await.expect("an answer").body;
        let (pid, addr) = said.trim().split_once(" listening on ").unwrap_or_else(|| panic!("it said {said:?}"));
        let (pid, addr) = (pid.parse().expect("a pid"), addr.parse().expect("an address"));
        let answer = client::get(addr, "/").await.expect("an answer of the descendant's node");
        assert_eq!(answer.id(), "node-1");
        assert_ne!(answer.pid(), program.get("/").await.expect("an answer").pid());
        send(pid, Signal::TERM);
        program.gone([answer.pid()]).await;
        program.get("/").await.expect("the program goes on");
        program.signal(Signal::TERM);
        assert_eq!(program.exit().await, Some(0));
        program.leaves_nobody().await;
    })
    .await;
}

/// A node of two is hostile from its start on: it is ended, and nothing else is the worse for it.
async fn outlives(fault: Fault, why: &str) {
    // Two threads, so that the thread that reads the nonsense can keep another busy with it.
    let start_timeout = Duration::from_secs(3);
    let mut program = Program::serving(Plan { start_timeout, threads: 2, ..Plan::nodes(2) }).await;
    let pids = program.pids().await;
    let fds = procfs::fds(program.pid);
    fault.lay(&program.faults());
    send(pids[1], Signal::KILL);
    program.logged(&format!("killing it while starting: {why}")).await;
    program.logged(&format!("ended by SIGKILL while starting: {why}")).await;
    program.get("/").await.expect("the other node answers");
    fault.lift(&program.faults());
    let status = program.status_where(|s| s.slots.iter().all(|slot| slot.state == State::Serving)).await;
    assert_eq!(status.slots[0].pid, Some(pids[0]), "the other node has nothing to do with it");
    // A few more are open while nodes are being joined, as they may have been at first.
    program.until(|| procfs::fds(program.pid) <= fds).await;
    program.stop().await;
}

#[tokio::test]
async fn a_node_that_talks_nonsense_is_killed() {
    within(30, outlives(Fault::Garbage, "its control channel broke: a message that cannot be read: ")).await;
}

#[tokio::test]
async fn a_node_that_announces_too_much_is_killed() {
    let why = "its control channel broke: a message of 4294967295 bytes, more than the 2097152 that are allowed";
    within(30, outlives(Fault::Oversize, why)).await;
}

#[tokio::test]
async fn a_node_that_sends_descriptors_is_killed() {
    within(30, async {
        outlives(Fault::Descriptors, "its control channel broke: 506 file descriptors came with a message that has 0")
            .await;
    })
    .await;
}

#[tokio::test]
async fn nodes_that_talk_without_end_are_killed_and_keep_nobody_waiting() {
    within(30, async {
        let start_timeout = Duration::from_secs(3);
        let mut program = Program::serving(Plan { start_timeout, threads: 4, ..Plan::nodes(5) }).await;
        let pids = program.pids().await;
        Fault::Flood.lay(&program.faults());
        pids[1..].iter().for_each(|pid| send(*pid, Signal::KILL));
        program.logged("killing it while starting: it did not become ready within 3 s").await;
        program.get("/").await.expect("the other node answers");
        Fault::Flood.lift(&program.faults());
        assert_eq!(program.at_rest().await.slots[0].pid, Some(pids[0]), "the other node has nothing to do with it");
        Fault::Flood.lay(&program.faults());
        send(program.pids().await[1], Signal::KILL);
        program.status_where(|s| s.slots[1].state == State::Starting).await;
        // A signal works in spite of the noise.
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_hangs_up_is_killed() {
    within(30, outlives(Fault::HangUp, "its control channel broke: it closed its control socket")).await;
}
