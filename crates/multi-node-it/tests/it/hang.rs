//! Nodes whose runtime is silent.

use std::process::Stdio;
use std::time::{Duration, Instant};

use multi_node::Status;
use multi_node::status::{Exit, NodeId, State};
use multi_node_it::{Fault, Plan, Program, client, needs, procfs, send, within};
use rustix::process::Signal;
use tokio::process::Command;

/// Twice the shortest time that is allowed, so that a busy machine does not make anybody look silent.
const SILENCE: Duration = Duration::from_secs(2);

fn plan(nodes: usize) -> Plan {
    Plan { hang_timeout: SILENCE, ..Plan::nodes(nodes) }
}

#[tokio::test]
async fn a_node_that_hangs_is_reported_aborted_and_replaced() {
    within(30, async {
        let mut program = Program::serving(plan(2)).await;
        let before = program.at_rest().await;
        let mut client = program.begin("/block/60000").await;
        let slot = program.status().await.slots.iter().position(|slot| slot.in_flight == 1).expect("it was seen");
        let begun = Instant::now();
        let after = program.status_where(|s| s.slots[slot].restarts == 1 && s.is_ready()).await;
        assert!(begun.elapsed() >= SILENCE * 3 / 4, "it was given {:?}", begun.elapsed());
        client.answer().await.expect_err("its node was aborted");
        assert_eq!(after.slots[slot].last_exit, Some(Exit::Signal(6)));
        assert_eq!(after.slots[1 - slot].id, before.slots[1 - slot].id, "the other node has nothing to do with it");
        let log = program.log();
        let report = log.lines().find(|line| line.contains("aborting it while serving: its runtime was silent for "));
        let report = report.unwrap_or_else(|| panic!("no report"));
        let pid = before.slots[slot].pid.expect("it served");
        assert!(
            report.contains(" ERROR ") && report.contains(&format!("; thread {pid} fixture:{slot}: S")),
            "{report}"
        );
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stopped_node_is_killed_and_replaced() {
    within(30, async {
        let mut program = Program::serving(plan(1)).await;
        let pids = program.pids().await;
        send(pids[0], Signal::STOP);
        let after = program.status_where(|s| s.slots[0].restarts == 1 && s.is_ready()).await;
        assert_eq!(after.slots[0].last_exit, Some(Exit::Signal(9)), "a stopped process does not heed SIGABRT");
        let log = program.log();
        assert!(log.contains(&format!("; thread {} fixture:0: T (stopped)", pids[0])), "the report tells the state");
        assert!(log.contains("killing it: SIGABRT has not ended it within 5 s"));
        program.stop().await;
    })
    .await;
}

fn count(status: &Status, state: State) -> usize {
    status.slots.iter().filter(|slot| slot.state == state).count()
}

fn ids(status: &Status) -> Vec<Option<NodeId>> {
    status.slots.iter().map(|slot| slot.id).collect()
}

/// Stops the master for so long, and looks whether it blames its nodes for that.
async fn blames_nobody(program: &mut Program, stopped: Duration) {
    let master = [program.pid];
    blames_nobody_where(program, &master, stopped).await;
}

/// Stops these processes for a time, continues them in this order, and checks that no node is blamed for that.
async fn blames_nobody_where(program: &mut Program, processes: &[u32], stopped: Duration) {
    let before = program.at_rest().await;
    processes.iter().for_each(|pid| send(*pid, Signal::STOP));
    program.until(|| processes.iter().all(|pid| procfs::state(*pid) == Some('T'))).await;
    let asked = tokio::spawn(client::get(program.addr, "/"));
    tokio::time::sleep(stopped).await;
    processes.iter().for_each(|pid| send(*pid, Signal::CONT));
    asked.await.expect("no panic").expect("a client that waited is answered");
    // A wrong judgement would come within this time.
    let until = Instant::now() + SILENCE / 2;
    while Instant::now() < until {
        let status = program.status().await;
        assert_eq!(ids(&status), ids(&before), "after a stop of {stopped:?}");
    }
    assert!(!program.log().contains("silent"), "after a stop of {stopped:?}");
}

#[tokio::test]
async fn a_master_that_was_stopped_blames_nobody() {
    within(30, async {
        let mut program = Program::serving(plan(4)).await;
        blames_nobody(&mut program, SILENCE * 3).await;
        program.stop().await;
    })
    .await;
}

/// Stops that end about when the nodes' time is over, whose lateness alone does not tell that there was a stop.
#[tokio::test]
async fn a_master_that_was_stopped_for_as_long_as_the_timeout_blames_nobody() {
    within(30, async {
        let mut program = Program::serving(Plan { threads: 2, ..plan(4) }).await;
        for tenths in [8, 9, 10, 11] {
            blames_nobody(&mut program, SILENCE * tenths / 10).await;
        }
        program.stop().await;
    })
    .await;
}

/// As a cgroup that is frozen and thawed does (cgroups(7), freezer): nothing of the program sees that time passes.
#[tokio::test]
async fn a_program_that_was_frozen_blames_nobody() {
    within(60, async {
        let mut program = Program::serving(plan(4)).await;
        let nodes = program.pids().await;
        for stopped in [SILENCE, SILENCE * 2] {
            let master_first = [&[program.pid][..], &nodes].concat();
            blames_nobody_where(&mut program, &master_first, stopped).await;
            let master_last = [&nodes[..], &[program.pid]].concat();
            blames_nobody_where(&mut program, &master_last, stopped).await;
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_master_that_was_stopped_kills_no_node_that_has_come_up_meanwhile() {
    within(30, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Fault::StuckInFactory.lay(folder.path());
        let (start_timeout, faults) = (Duration::from_secs(3), folder.path().into());
        let mut program = Program::start(Plan { start_timeout, faults, threads: 2, ..Plan::nodes(4) }).await;
        let coming = program.status_where(|s| count(s, State::Initializing) == 4).await;
        program.signal(Signal::STOP);
        program.until(|| procfs::state(program.pid) == Some('T')).await;
        Fault::StuckInFactory.lift(folder.path());
        tokio::time::sleep(start_timeout + SILENCE / 2).await;
        program.signal(Signal::CONT);
        let status = program.at_rest().await;
        assert_eq!(ids(&status), ids(&coming));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_being_traced_is_spared() {
    if !needs::program("strace") {
        return;
    }
    within(30, async {
        let mut program = Program::serving(plan(1)).await;
        let pids = program.pids().await;
        let mut tracer = Command::new("strace")
            .args(["-qq", "-e", "trace=none", "-p", &pids[0].to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        while procfs::tracer(pids[0]).is_none() {
            if let Some(status) = tracer.try_wait().expect("it is our child") {
                needs::skip(format_args!("strace may not trace here ({status})"));
                return program.stop().await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut client = program.begin("/block/4500").await;
        assert_eq!(client.answer().await.expect("an answer, though late").body, "blocked 4500\n");
        assert_eq!(program.pids().await, pids);
        assert!(!program.log().contains("silent"));
        tracer.kill().await.expect("it is our child");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_a_timeout_nobody_is_watched() {
    within(30, async {
        let mut program = Program::serving(Plan { hang_timeout: Duration::ZERO, ..Plan::nodes(1) }).await;
        let pids = program.pids().await;
        let mut client = program.begin("/block/1500").await;
        assert_eq!(client.answer().await.expect("an answer").body, "blocked 1500\n");
        assert_eq!(program.pids().await, pids);
        program.stop().await;
    })
    .await;
}
