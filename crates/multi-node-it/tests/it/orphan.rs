//! Nodes whose master was killed: they finish what they have, and leave.

use std::time::{Duration, Instant};

use multi_node_it::{Client, Fault, Plan, Program, port, procfs, send, within};
use rustix::process::Signal;

/// A plan by which a node that must be ended by force is ended soon.
fn short(nodes: usize) -> Plan {
    Plan { drain_timeout: Duration::from_millis(500), ..Plan::nodes(nodes) }
}

/// Kills the master, and waits until all others have ended.
async fn all_leave(program: &mut Program) {
    program.signal(Signal::KILL);
    assert_eq!(program.exit().await, None, "a signal ends it");
    program.leaves_nobody().await;
}

#[tokio::test]
async fn nodes_leave_and_answer_what_is_in_flight() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        let mut client = program.begin("/sleep/400").await;
        program.signal(Signal::KILL);
        assert_eq!(client.answer().await.expect("an answer, though the master is dead").body, "slept 400\n");
        program.leaves_nobody().await;
        assert_eq!(program.log().matches("draining: the master of this node is gone").count(), 4);
    })
    .await;
}

/// The address is free while they still answer what they have, for the next start and for any other program.
#[tokio::test]
async fn the_next_start_has_the_address_at_once() {
    within(60, async {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unix = Some(folder.path().join("app.sock"));
        let held = port::Held::new().expect("a port");
        let port = held.addr().port();
        let plan = Plan { port, drain_timeout: Duration::from_secs(40), unix, ..Plan::nodes(2) };
        let mut killed = Program::serving(plan.clone()).await;
        let mut client = killed.begin("/sleep/8000").await;
        killed.signal(Signal::KILL);
        killed.exit().await;
        let begin = Instant::now();
        let next = Program::serving(plan).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "it began after {:?}", begin.elapsed());
        assert!(!killed.processes().is_empty(), "the old node still answers");
        next.get("/").await.expect("the next one serves");
        assert_eq!(client.answer().await.expect("an answer, though the master is dead").body, "slept 8000\n");
        killed.leaves_nobody().await;
        next.get("/").await.expect("nobody has closed what is the next one's");
        next.stop().await;
    })
    .await;
}

/// Who waits for an `accept` when the master is killed is served before the socket is closed.
#[tokio::test]
async fn clients_that_wait_are_served() {
    within(30, async {
        for _ in 0..5 {
            let mut program = Program::serving(Plan::nodes(2)).await;
            for pid in program.pids().await {
                send(pid, Signal::STOP);
                program.until(|| procfs::state(pid) == Some('T')).await;
            }
            let mut clients = Vec::new();
            for _ in 0..20 {
                let mut client = Client::connect(program.addr).await.expect("the queue has room");
                client.ask("/").await.expect("sent");
                clients.push(client);
            }
            program.signal(Signal::KILL);
            program.exit().await;
            for mut client in clients {
                client.answer().await.expect("an answer, though the master is dead");
            }
            program.leaves_nobody().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stopped_node_leaves() {
    within(30, async {
        let mut program = Program::serving(short(2)).await;
        let pids = program.pids().await;
        send(pids[0], Signal::STOP);
        program.until(|| procfs::state(pids[0]) == Some('T')).await;
        all_leave(&mut program).await;
    })
    .await;
}

#[tokio::test]
async fn a_node_in_a_busy_loop_leaves() {
    within(30, async {
        let mut program = Program::serving(short(2)).await;
        let _client = program.begin("/spin").await;
        all_leave(&mut program).await;
        assert!(program.log().contains("the master is gone and the drain is over: this node ends"));
    })
    .await;
}

#[tokio::test]
async fn a_node_whose_main_never_ends_leaves() {
    within(30, async {
        let mut program = Program::serving(Plan { endless_main: true, ..short(2) }).await;
        all_leave(&mut program).await;
        assert_eq!(program.log().matches("the master is gone and the drain is over: this node ends").count(), 2);
    })
    .await;
}

/// Kills the master while a node comes up.
async fn a_node_that_starts_leaves(fault: Fault) {
    let mut program = Program::serving(short(2)).await;
    fault.lay(&program.faults());
    let pids = program.pids().await;
    send(pids[1], Signal::KILL);
    program.status_where(|s| s.slots[1].state == multi_node::status::State::Initializing).await;
    all_leave(&mut program).await;
}

#[tokio::test]
async fn a_node_stuck_in_its_factory_leaves() {
    within(30, async {
        a_node_that_starts_leaves(Fault::StuckInFactory).await;
        a_node_that_starts_leaves(Fault::BlockInFactory).await;
    })
    .await;
}

/// A program that never reaches `listen` is not the library's to end: it has not run a line of it. One that reaches it
/// late finds its master gone, and takes itself for no master.
#[tokio::test]
async fn a_node_that_reaches_listen_too_late_leaves() {
    within(30, async {
        let mut program = Program::serving(short(2)).await;
        Fault::StuckBeforeListen.lay(&program.faults());
        let pids = program.pids().await;
        send(pids[1], Signal::KILL);
        let late = program.status_where(|s| s.slots[1].pid.is_some_and(|pid| pid != pids[1])).await.slots[1].pid;
        program.signal(Signal::KILL);
        program.exit().await;
        program.until(|| program.processes().iter().copied().eq(late)).await;
        Fault::StuckBeforeListen.lift(&program.faults());
        program.leaves_nobody().await;
        let error = "Error: the master of this node is gone, so the node ends";
        assert_eq!(program.log().lines().filter(|line| *line == error).count(), 2, "one for each node");
    })
    .await;
}
