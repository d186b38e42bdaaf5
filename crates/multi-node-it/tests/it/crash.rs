//! Nodes that end unasked, or never come up.

use std::time::Duration;

use multi_node::status::{Exit, State};
use multi_node_it::{Fault, Plan, Program, procfs, send, within};
use rustix::process::Signal;
use tempfile::TempDir;

/// A plan whose nodes misbehave from the start. The folder must be kept as long as the fault.
fn faulty(fault: Fault, plan: Plan) -> (Plan, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fault.lay(folder.path());
    (Plan { faults: folder.path().into(), ..plan }, folder)
}

/// Pauses so short that a test can have many.
fn hasty(nodes: usize) -> Plan {
    let pause = Duration::from_millis(1);
    Plan { backoff: (pause, pause), crash_loop: (1000, Duration::from_secs(1)), ..Plan::nodes(nodes) }
}

#[tokio::test]
async fn a_killed_node_is_replaced_and_the_others_stay() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(3)).await;
        let before = program.at_rest().await;
        let pids = program.pids().await;
        send(pids[1], Signal::KILL);
        let after = program.status_where(|s| s.slots[1].restarts == 1 && s.is_ready()).await;
        for slot in [0, 2] {
            let (before, after) = (&before.slots[slot], &after.slots[slot]);
            assert_eq!((after.id, after.pid, after.restarts), (before.id, before.pid, 0), "slot {slot} is another's");
        }
        let (old, new) = (&before.slots[1], &after.slots[1]);
        assert!(new.id > old.id, "the replacement is {:?}, after {:?}", new.id, old.id);
        assert_ne!(new.pid, old.pid);
        assert_eq!(new.last_exit, Some(Exit::Signal(9)));
        assert!(!procfs::is_alive(pids[1]));
        program.logged("ended by SIGKILL while serving; starting again at once").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn all_nodes_killed_at_once_come_back() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(4)).await;
        let old = program.pids().await;
        old.iter().for_each(|pid| send(*pid, Signal::KILL));
        program.status_where(|s| s.is_ready() && s.slots.iter().all(|slot| slot.restarts == 1)).await;
        let new = program.pids().await;
        assert!(new.iter().all(|pid| !old.contains(pid)), "{old:?} became {new:?}");
        program.answering(4).await;
        program.stop().await;
    })
    .await;
}

/// The pauses in the log, in milliseconds.
fn pauses(log: &str) -> Vec<f64> {
    let told = log.lines().filter_map(|line| line.split("starting again ").nth(1)?.split(" slot=").next());
    told.map(|pause| if pause == "at once" { 0.0 } else { millis(pause) }).collect()
}

/// `in 39.3 ms`
fn millis(pause: &str) -> f64 {
    let number = pause.strip_prefix("in ").and_then(|pause| pause.strip_suffix(" ms"));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{pause:?} is no pause"))
}

#[tokio::test]
async fn the_pause_grows_with_every_death_while_another_node_serves() {
    within(30, async {
        let backoff = (Duration::from_millis(20), Duration::from_millis(100));
        let crash_loop = (50, Duration::from_secs(60));
        let mut program = Program::serving(Plan { backoff, crash_loop, ..Plan::nodes(2) }).await;
        for deaths in 1..=5 {
            let pids = program.pids().await;
            send(pids[0], Signal::KILL);
            program.status_where(|s| s.slots[0].restarts == deaths && s.is_ready()).await;
        }
        let pauses = pauses(&program.log());
        let expected = [0.0, 20.0, 40.0, 80.0, 100.0];
        assert_eq!(pauses.len(), expected.len(), "{pauses:?}");
        for (pause, expected) in pauses.iter().zip(expected) {
            // The default jitter is a fifth either way; the log rounds to a tenth.
            assert!((pause - expected).abs() <= expected * 0.2 + 0.1, "{pauses:?}");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn any_end_that_nobody_ordered_is_a_death_but_success_after_serving() {
    within(30, async {
        let ways = [("/exit/9", Exit::Code(9)), ("/abort", Exit::Signal(6))];
        let mut program = Program::serving(Plan::nodes(1)).await;
        for _ in 0..3 {
            let before = program.at_rest().await;
            program.get("/exit/0").await.expect_err("it ends before it answers");
            let after = program.status_where(|s| s.slots[0].id != before.slots[0].id && s.is_ready()).await;
            assert_eq!((after.slots[0].restarts, after.slots[0].last_exit), (0, Some(Exit::Code(0))));
        }
        program.logged("its program recycles it; starting again").await;
        for (deaths, (path, exit)) in (1..).zip(ways) {
            program.get(path).await.expect_err("it ends before it answers");
            let status = program.status_where(|s| s.slots[0].restarts == deaths && s.is_ready()).await;
            assert_eq!(status.slots[0].last_exit, Some(exit), "after {path}");
        }
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_program_that_never_comes_up_ends_with_the_cause() {
    within(30, async {
        let (plan, _folder) = faulty(Fault::Die, Plan::nodes(2));
        let mut program = Program::start(plan).await;
        assert_eq!(program.exit().await, Some(1));
        let log = program.log();
        let said = log.lines().find(|line| line.starts_with("Error: ")).unwrap_or_else(|| panic!("no error"));
        assert!(said.starts_with("Error: no node is left: node-"), "{said}");
        let hint = "ended with exit code 3 while starting: it did not reach `listen`; code before `listen` runs in every process, \
            so what only one may do, such as taking a port or a lock, belongs after it";
        assert!(said.ends_with(hint), "{said}");
        assert!(log.contains("giving up, since no slot's node has reached `listen`"), "{log}");
        assert!(log.matches("ended with exit code 3").count() <= 5, "it is told once or twice for each slot: {log}");
        assert_eq!(program.processes(), [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_program_whose_servers_never_come_up_ends_after_some_tries() {
    within(30, async {
        let (plan, _folder) = faulty(Fault::FailFactory, Plan::nodes(2));
        let mut program = Program::start(plan).await;
        assert_eq!(program.exit().await, Some(1));
        let log = program.log();
        assert!(log.contains("giving up, since no node was ever ready and this is death 5 in its slot"), "{log}");
        assert!(!log.contains("before `listen`"), "{log}");
        assert_eq!(program.processes(), [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_crash_loop_after_the_first_ready_ends_nothing() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let pids = program.pids().await;
        Fault::Die.lay(&program.faults());
        send(pids[0], Signal::KILL);
        program.logged("crash loop: 5 deaths within 60 s; it is tried again about every 200 ms").await;
        program.status_where(|s| s.slots[0].state == State::BackingOff && s.slots[0].restarts > 6).await;
        Fault::Die.lift(&program.faults());
        let new = program.pids().await;
        assert_eq!(new[1], pids[1], "the other node has nothing to do with it");
        program.answering(2).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn without_restart_the_last_death_ends_the_program() {
    within(30, async {
        let mut program = Program::serving(Plan { restart: false, ..Plan::nodes(2) }).await;
        let pids = program.pids().await;
        send(pids[0], Signal::KILL);
        program.status_where(|s| s.slots[0].state == State::Empty).await;
        program.get("/").await.expect("the other node answers");
        program.get("/exit/0").await.expect_err("it ends before it answers");
        assert_eq!(program.exit().await, Some(1));
        let log = program.log();
        let cause = "Error: no node is left: node-2 in slot 1 ended with exit code 0 while serving";
        assert!(log.lines().any(|line| line == cause), "`closed` gives another error");
        assert_eq!(log.matches("not replaced, since `restart` is off").count(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_failing_factory_is_reported_with_all_its_causes() {
    within(30, async {
        let (plan, _folder) = faulty(Fault::FailFactory, Plan::nodes(1));
        let mut program = Program::start(plan).await;
        assert_eq!(program.exit().await, Some(1));
        let causes = "ended with exit code 1 while initializing: cannot reach the database: no route to host";
        let log = program.log();
        assert!(log.lines().any(|line| line.contains(" WARN ") && line.contains(causes)), "not in the log");
        let error = format!("Error: no node is left: node-5 in slot 0 {causes}");
        assert!(log.lines().any(|line| line == error), "not in the error");
    })
    .await;
}

/// A program with one node that never becomes ready, for the given reason.
async fn is_killed_for_its_lateness(fault: Fault, last_state: &str) {
    // Enough to reach the state in which it is stuck.
    let start_timeout = Duration::from_secs(3);
    let crash_loop = (2, Duration::from_secs(60));
    let (plan, _folder) = faulty(fault, Plan { start_timeout, crash_loop, ..Plan::nodes(1) });
    let mut program = Program::start(plan).await;
    assert_eq!(program.exit().await, Some(1));
    let cause = format!("it did not become ready within 3 s (last state: {last_state})");
    let log = program.log();
    let state = last_state.split(':').next().unwrap_or_default();
    assert_eq!(log.matches(&format!("killing it while {state}: {cause}")).count(), 2, "{cause}");
    let error = log.lines().find(|line| line.starts_with("Error: ")).unwrap_or_default();
    assert!(error.ends_with(&cause), "{error}");
    assert_eq!(program.processes(), [0; 0]);
}

#[tokio::test]
async fn a_node_stuck_before_listen_is_killed_and_reported() {
    within(30, is_killed_for_its_lateness(Fault::StuckBeforeListen, "starting: never reached `listen`")).await;
}

#[tokio::test]
async fn a_node_stuck_in_its_factory_is_killed_and_reported() {
    within(30, is_killed_for_its_lateness(Fault::StuckInFactory, FACTORY)).await;
}

#[tokio::test]
async fn a_node_whose_factory_blocks_is_killed_and_reported() {
    within(30, is_killed_for_its_lateness(Fault::BlockInFactory, FACTORY)).await;
}

const FACTORY: &str = "initializing: reached `listen`, but its servers did not come up";

/// Kills all nodes so often, and looks what that leaves in the master.
async fn leaves_no_trace(rounds: u64) {
    let mut program = Program::serving(hasty(4)).await;
    // The first replacements may fill what is kept for reuse.
    let mut fds = None;
    for round in 1..=rounds {
        program.pids().await.into_iter().for_each(|pid| send(pid, Signal::KILL));
        program.status_where(|s| s.is_ready() && s.slots.iter().all(|slot| slot.restarts == round)).await;
        if round == 2 {
            fds = procfs::fds(program.pid);
        }
    }
    // A few more are open while nodes are being joined, as they may have been then; a leak shows by hundreds.
    program.until(|| procfs::fds(program.pid) <= fds).await;
    assert_eq!(procfs::zombies(program.pid), [0; 0]);
    let mut children = procfs::children(program.pid);
    children.sort_unstable();
    let mut pids = program.pids().await;
    pids.sort_unstable();
    assert_eq!(children, pids);
    assert!(!program.log().contains("too many old nodes"), "lines of the load table are lost");
    program.stop().await;
}

#[tokio::test]
async fn a_thousand_kills_leave_no_trace() {
    within(110, leaves_no_trace(250)).await;
}
