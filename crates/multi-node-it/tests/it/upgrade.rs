//! Upgrade in place: the master's process runs the new program, and nobody notices.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use multi_node::status::{Exit, SlotStatus, State};
use multi_node_it::program::fixture;
use multi_node_it::{Client, Fault, Load, Plan, Program, port, procfs, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Upgrades, and waits until everything is as before.
async fn upgrade(program: &mut Program) {
    program.upgrade().await.expect("the new program takes over");
    program.at_rest().await;
}

#[tokio::test]
async fn the_new_program_has_the_process_the_nodes_and_the_connections() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let old = program.pids().await;
        let (name, mut kept) = (procfs::name(program.pid), Client::connect(program.addr).await.expect("connected"));
        kept.get("/").await.expect("an answer");
        let before = program.status().await;

        upgrade(&mut program).await;
        let after = program.status().await;
        for (before, after) in before.slots.iter().zip(&after.slots) {
            assert_eq!((after.generation.number(), after.restarts), (1, 0), "{after:?}");
            assert!(after.id > before.id, "{before:?} became {after:?}");
            assert!(after.requests >= before.requests, "{before:?} became {after:?}");
        }
        kept.get("/").await.expect("an answer on the connection that was kept");
        drop(kept);
        assert_eq!(procfs::name(program.pid), name, "what `ps` shows of the master");
        assert_eq!(procfs::children(program.pid).len(), 2, "the nodes are its children, and nobody else");
        assert!(old.into_iter().all(|pid| procfs::state(pid).is_none()));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_new_master_supervises_and_is_a_peer() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        upgrade(&mut program).await;
        // The programs take their streams when they like.
        while program.command("ping").await["answered"] != json!(["node-3", "node-4"]) {}
        while program.get("/ping").await.expect("an answer").json()["answered"].as_array().map(Vec::len) != Some(2) {}

        let pids = program.pids().await;
        send(pids[0], Signal::KILL);
        let status = program.status_where(|s| s.slots[0].restarts == 1 && s.is_ready()).await;
        assert_eq!(status.slots[0].last_exit, Some(Exit::Signal(9)));
        assert_eq!(status.slots[0].generation.number(), 1, "a restart runs what its generation runs");
        program.command("scale 3").await;
        program.command("reload").await;
        assert_eq!(program.at_rest().await.slots[2].generation.number(), 2);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_signal_upgrades_again_and_again_and_leaves_nothing_behind() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        upgrade(&mut program).await;
        // Both streams are open by then.
        while program.command("ping").await["answered"] != json!(["node-3", "node-4"]) {}
        let fds = procfs::fds(program.pid);
        for round in 2..=4 {
            program.signal(Signal::USR2);
            program.listens_again().await;
            let status = program.at_rest().await;
            assert!(status.slots.iter().all(|slot| slot.generation.number() == round), "{status:?}");
        }
        // A few more are open while nodes are being joined, as they may have been at first.
        program.until(|| procfs::fds(program.pid) <= fds).await;
        assert!(procfs::zombies(program.pid).is_empty());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn no_request_fails() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let load = Load::begin(program.addr, 2);
        for _ in 0..5 {
            upgrade(&mut program).await;
        }
        load.end().await;
        program.stop().await;
    })
    .await;
}

/// The cause, where nothing was replaced.
fn failure(answer: &Value) -> &str {
    answer["Err"]["failed"]["why"].as_str().unwrap_or_else(|| panic!("{answer} is no failure"))
}

/// A program that must not take over: everything is as before, and a later upgrade is as good as a first.
async fn is_refused(fault: Fault, start_timeout: Duration, why: &str) {
    let mut program = Program::serving(Plan { start_timeout, ..Plan::nodes(2) }).await;
    let before = program.pids().await;
    fault.lay(&program.faults());
    let answer = program.upgrade().await.expect_err("the old program stays");
    assert!(failure(&answer).contains(why), "{answer}");
    assert_eq!(program.pids().await, before, "nobody was replaced");
    program.until(|| procfs::children(program.pid).len() == 2).await;
    fault.lift(&program.faults());
    upgrade(&mut program).await;
    program.stop().await;
}

/// More than any program needs to start, on however busy a machine.
const AMPLE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_program_that_ends_before_listen_is_refused() {
    let why = "the new program, tried in a child, ended with exit code 5 before it reached `listen`";
    within(30, is_refused(Fault::DieInTrial, AMPLE, why)).await;
}

#[tokio::test]
async fn a_program_that_does_not_reach_listen_is_refused() {
    let why = "the new program, tried in a child, did not reach `listen` within 3s";
    within(30, is_refused(Fault::StuckInTrial, Duration::from_secs(3), why)).await;
}

#[tokio::test]
async fn a_program_that_serves_other_addresses_is_refused() {
    let why = "the new program wants to serve 127.0.0.1:0, 127.0.0.1:0, but the running one has bound 127.0.0.1:0";
    within(30, is_refused(Fault::OtherAddresses, AMPLE, why)).await;
}

#[tokio::test]
async fn a_master_that_serves_is_not_replaced() {
    within(20, async {
        let mut program = Program::serving(Plan { master_listen: true, ..Plan::nodes(1) }).await;
        let before = program.pids().await;
        let answer = program.upgrade().await.expect_err("the old program stays");
        assert!(
            failure(&answer).starts_with("the master serves connections itself (`Options::master_listen`)"),
            "{answer}"
        );
        assert_eq!(program.pids().await, before, "nobody was replaced");
        program.get("/").await.expect("an answer");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_is_one_command_at_a_time() {
    within(20, async {
        let mut program = Program::serving(Plan::nodes(1)).await;
        Fault::StuckInFactory.lay(&program.faults());
        let reload = program.send("reload").await;
        // It runs when the reload has switched, and no other reload may come between.
        let upgrade = program.send("upgrade").await;
        let answer = program.command("reload").await;
        assert_eq!(answer["Err"]["busy"]["running"], "upgrade", "{answer}");
        Fault::StuckInFactory.lift(&program.faults());
        assert!(program.answer(reload).await["Ok"].is_object());
        program.succeeded(upgrade).await.expect("the new program takes over");
        program.at_rest().await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_successor_that_is_slow_costs_nothing() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let load = Load::begin(program.addr, 2);
        Fault::StuckAsSuccessor.lay(&program.faults());
        let command = program.send("upgrade").await;
        program.logged("the master follows").await;
        let kept = program.answering(2).await;
        Fault::StuckAsSuccessor.lift(&program.faults());
        program.succeeded(command).await.expect("the new program takes over");
        program.at_rest().await;
        load.end().await;
        assert_eq!(program.answering(2).await, kept, "the nodes stay");
        program.stop().await;
    })
    .await;
}

/// Where the process of the master has ended, nobody can take over any more: its nodes leave, and the address is free.
async fn nodes_leave(fault: Fault, code: Option<i32>) {
    let mut program = Program::serving(Plan { adopt_timeout: NEVER, ..Plan::nodes(2) }).await;
    let mut client = program.begin("/sleep/1000").await;
    fault.lay(&program.faults());
    let _ = program.send("upgrade").await;
    assert_eq!(program.exit().await, code);
    assert_eq!(client.answer().await.expect("an answer, though there is no master").body, "slept 1000\n");
    program.leaves_nobody().await;
    assert!(program.log().contains("draining: the master of this node is gone"));
}

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test]
async fn nodes_of_a_successor_that_ends_leave_at_once() {
    within(30, nodes_leave(Fault::DieAsSuccessor, Some(6))).await;
}

#[tokio::test]
async fn nodes_of_a_successor_that_panics_leave_at_once() {
    within(30, nodes_leave(Fault::PanicAsSuccessor, Some(101))).await;
}

/// Kills the master while the new program takes its place, each time at another moment: the next start has the address.
#[tokio::test]
async fn a_master_that_is_killed_while_it_is_replaced_holds_no_address() {
    within(120, async {
        for round in 0..12 {
            let held = port::Held::new().expect("a port");
            let plan = Plan { port: held.addr().port(), adopt_timeout: NEVER, ..Plan::nodes(1) };
            let mut program = Program::serving(plan.clone()).await;
            let _ = program.send("upgrade").await;
            program.logged("the master follows").await;
            tokio::time::sleep(Duration::from_micros(round * 1500)).await;
            program.signal(Signal::KILL);
            program.exit().await;
            let begin = std::time::Instant::now();
            let next = Program::serving(plan).await;
            assert!(begin.elapsed() < Duration::from_secs(10), "round {round}: it began after {:?}", begin.elapsed());
            program.leaves_nobody().await;
            next.stop().await;
        }
    })
    .await;
}

/// It holds SIGTERM back, and the sockets in what it was left; nobody but the kernel can end it.
#[tokio::test]
async fn a_successor_that_hangs_is_left_by_its_nodes_and_leaves_nothing() {
    within(20, async {
        let adopt_timeout = Duration::from_millis(500);
        let mut program = Program::serving(Plan { adopt_timeout, ..Plan::nodes(2) }).await;
        Fault::StuckAsSuccessor.lay(&program.faults());
        let _ = program.send("upgrade").await;
        program.logged("the master follows").await;
        program.get("/").await.expect("an answer, though there is no master");
        program.until(|| program.log().matches("draining: the master of this node is gone").count() == 2).await;
        program.until(|| program.processes() == [program.pid]).await;
        program.signal(Signal::TERM);
        program.until(|| procfs::signals(program.pid, "ShdPnd") & bit(Signal::TERM) != 0).await;
        assert!(procfs::is_alive(program.pid), "nobody hears the signal");
        program.signal(Signal::KILL);
        assert_eq!(program.exit().await, None);
        program.leaves_nobody().await;
        program.get("/").await.expect_err("nobody has the socket any more");
    })
    .await;
}

#[tokio::test]
async fn a_successor_that_comes_too_late_starts_other_nodes() {
    within(30, async {
        let adopt_timeout = Duration::from_millis(500);
        let mut program = Program::serving(Plan { adopt_timeout, ..Plan::nodes(2) }).await;
        Fault::StuckAsSuccessor.lay(&program.faults());
        let command = program.send("upgrade").await;
        program.logged("the master follows").await;
        program.until(|| program.log().matches("draining: the master of this node is gone").count() == 2).await;
        Fault::StuckAsSuccessor.lift(&program.faults());
        program.succeeded(command).await.expect("the new program takes over");
        // The first status may not show yet that they have ended.
        let other = |slot: &SlotStatus| slot.restarts == 1 && slot.state == State::Serving;
        program.status_where(|status| status.slots.iter().all(other)).await;
        program.get("/").await.expect("an answer");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_signal_in_between_is_not_lost() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        Fault::StuckAsSuccessor.lay(&program.faults());
        let command = program.send("upgrade").await;
        program.logged("the master follows").await;
        program.until(|| held_back(program.pid, Signal::TERM)).await;
        program.signal(Signal::TERM);
        Fault::StuckAsSuccessor.lift(&program.faults());
        program.succeeded(command).await.expect("the new program takes over");
        program.ends_well().await;
        assert!(program.log().contains("received the signal to shut down"));
    })
    .await;
}

/// Whether the process's main thread holds the signal back (proc(5), `SigBlk`).
fn held_back(pid: u32, signal: Signal) -> bool {
    procfs::signals(pid, "SigBlk") & bit(signal) != 0
}

fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

/// A program that passes the preflight and serves as a node, but is gone when the master's place is taken.
#[tokio::test]
async fn a_master_that_cannot_be_replaced_goes_on_as_it_was() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = folder.path().join("server");
        let text = format!("#!/bin/bash\nexec -a \"$0\" {} \"$@\"\n", fixture().display());
        std::fs::write(&script, text).expect("a file of ours");
        std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("a file of ours");
        let mut program = Program::run(&script, Plan::nodes(1), |_| {}).await;
        program.command("ready").await;
        let ignored = procfs::signals(program.pid, "SigIgn");

        Fault::StuckInFactory.lay(&program.faults());
        let command = program.send("upgrade").await;
        program.status_where(|status| status.slots.iter().any(|slot| slot.state == State::Initializing)).await;
        std::fs::remove_file(&script).expect("a file of ours");
        Fault::StuckInFactory.lift(&program.faults());
        let answer = program.succeeded(command).await.expect_err("the old program stays");
        let why = answer["Err"]["master_stays"]["why"].as_str().unwrap_or_default();
        let expected = "the new program could not be started in the master's place: no such file or directory";
        assert_eq!(why, expected, "{answer}");

        assert_eq!(procfs::signals(program.pid, "SigIgn"), ignored, "SIGPIPE is ignored as before");
        assert!(!held_back(program.pid, Signal::TERM));
        let pids = program.pids().await;
        send(pids[0], Signal::KILL);
        program.status_where(|status| status.slots[0].last_exit == Some(Exit::Signal(9))).await;
        program.signal(Signal::TERM);
        assert_eq!(program.exit().await, Some(0));
    })
    .await;
}
