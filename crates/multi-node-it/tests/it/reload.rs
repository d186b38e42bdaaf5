//! Reload: every node is replaced, and nobody notices.

use std::path::{Path, PathBuf};
use std::time::Duration;

use multi_node::Status;
use multi_node::commands::ReloadReport;
use multi_node::status::State;
use multi_node_it::program::{Ticket, fixture};
use multi_node_it::{Client, Fault, Load, Plan, Program, procfs, send, within};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

fn report(answer: &Value) -> ReloadReport {
    ReloadReport::deserialize(&answer["Ok"]).unwrap_or_else(|error| panic!("{answer} is no report: {error}"))
}

/// The cause, where a new node did not come up.
fn failure(answer: &Value) -> &str {
    answer["Err"]["failed"]["why"].as_str().unwrap_or_else(|| panic!("{answer} is no failure"))
}

fn ids(status: &Status) -> Vec<String> {
    status.slots.iter().filter_map(|slot| slot.id).map(|id| id.to_string()).collect()
}

fn count(status: &Status, states: &[State]) -> usize {
    status.slots.iter().filter(|slot| states.contains(&slot.state)).count()
}

/// Watches the fleet until the command is answered: the fewest nodes that served, and the most that were coming up.
async fn extremes(program: &mut Program, command: Ticket) -> (Value, usize, usize) {
    let (mut fewest, mut most) = (usize::MAX, 0);
    loop {
        let status = program.status().await;
        fewest = fewest.min(count(&status, &[State::Serving]));
        most = most.max(count(&status, &[State::Starting, State::Initializing]));
        if let Some(answer) = program.answered(command) {
            return (answer, fewest, most);
        }
    }
}

/// Reloads under load, and checks the report and what was seen meanwhile.
async fn reloads(nodes: usize, surge: usize) {
    let mut program = Program::serving(Plan { surge, ..Plan::nodes(nodes) }).await;
    let before = program.at_rest().await;
    let load = Load::begin(program.addr, 2);
    let command = program.send("reload").await;
    let (answer, fewest, most) = extremes(&mut program, command).await;
    load.end().await;

    let after = program.at_rest().await;
    assert!(ids(&after).iter().all(|id| !ids(&before).contains(id)), "{:?}, {:?}", ids(&before), ids(&after));
    assert!(fewest >= if surge == 0 { nodes - 1 } else { nodes }, "only {fewest} of {nodes} served at one time");
    assert!(most <= surge.max(1), "{most} nodes came up at one time");
    let report = report(&answer);
    assert_eq!((report.generation.number(), report.slots.len()), (1, nodes));
    for (slot, (old, new)) in report.slots.iter().zip(before.slots.iter().zip(&after.slots)) {
        assert_eq!((slot.slot, slot.old, Some(slot.new), slot.killed), (old.slot, old.id, new.id, false));
        assert!(Duration::ZERO < slot.to_ready && slot.to_ready <= report.took, "{slot:?}");
        assert!(Duration::ZERO < slot.drain && slot.drain <= report.took, "{slot:?}");
        assert_eq!((new.generation.number(), new.restarts), (1, 0));
    }
    program.stop().await;
}

#[tokio::test]
async fn all_nodes_are_replaced_and_no_request_fails() {
    within(30, reloads(4, 1)).await;
}

#[tokio::test]
async fn one_slot_is_never_empty() {
    within(30, reloads(1, 1)).await;
}

#[tokio::test]
async fn two_new_nodes_may_come_up_at_once() {
    within(30, reloads(5, 2)).await;
}

#[tokio::test]
async fn without_surge_connections_wait_for_the_next_node() {
    within(30, async {
        reloads(3, 0).await;
        reloads(1, 0).await;
    })
    .await;
}

#[tokio::test]
async fn the_hang_up_signal_reloads() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let old = program.pids().await;
        program.signal(Signal::HUP);
        program.logged("received the signal to reload").await;
        program.logged("reload done: generation 1 serves in 2 slots").await;
        let new = program.pids().await;
        assert!(new.iter().all(|pid| !old.contains(pid)), "{old:?} became {new:?}");
        program.stop().await;
    })
    .await;
}

/// More than any node needs to start, on however busy a machine.
const AMPLE: Duration = Duration::from_secs(10);

/// Reloads to nodes that do not come up: the old ones serve on, and another reload is as good as the first.
async fn keeps_the_old_ones(fault: Fault, start_timeout: Duration, why: &str) {
    let mut program = Program::serving(Plan { start_timeout, ..Plan::nodes(2) }).await;
    let before = program.at_rest().await;
    let load = Load::begin(program.addr, 2);
    fault.lay(&program.faults());
    let answer = program.command("reload").await;
    assert_eq!(failure(&answer), format!("node-3 in slot 0 {why}"));
    load.end().await;
    let after = program.at_rest().await;
    assert_eq!(ids(&after), ids(&before));
    assert!(after.slots.iter().all(|slot| slot.generation.number() == 0 && slot.restarts == 0), "{after:?}");
    assert!(program.log().contains("reload failed: node-3 in slot 0"));
    fault.lift(&program.faults());
    assert_eq!(report(&program.command("reload").await).generation.number(), 2);
    program.stop().await;
}

#[tokio::test]
async fn a_program_that_dies_at_once_is_not_reloaded_to() {
    within(30, keeps_the_old_ones(Fault::Die, AMPLE, "ended with exit code 3 while starting")).await;
}

#[tokio::test]
async fn a_program_whose_factory_fails_is_not_reloaded_to() {
    let why = "ended with exit code 1 while initializing: cannot reach the database: no route to host";
    within(30, keeps_the_old_ones(Fault::FailFactory, AMPLE, why)).await;
}

#[tokio::test]
async fn a_program_that_does_not_come_up_is_not_reloaded_to() {
    let why = "ended by SIGKILL while initializing: it did not become ready within 3 s \
               (last state: initializing: reached `listen`, but its servers did not come up)";
    within(30, keeps_the_old_ones(Fault::StuckInFactory, Duration::from_secs(3), why)).await;
}

#[tokio::test]
async fn a_slot_that_was_emptied_for_a_broken_program_is_filled_again() {
    within(30, async {
        let mut program = Program::serving(Plan { surge: 0, ..Plan::nodes(2) }).await;
        Fault::Die.lay(&program.faults());
        let command = program.send("reload").await;
        program.logged("reload failed: node-3 in slot 0").await;
        failure(&program.answer(command).await);
        Fault::Die.lift(&program.faults());
        let status = program.at_rest().await;
        assert!(status.slots.iter().all(|slot| slot.generation.number() == 0), "{status:?}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_report_tells_what_became_of_connections_and_requests() {
    within(30, async {
        let drain_timeout = Duration::from_millis(1500);
        let mut program = Program::serving(Plan { drain_timeout, ..Plan::nodes(1) }).await;
        let mut kept = Vec::new();
        for _ in 0..20 {
            let mut client = Client::connect(program.addr).await.expect("a connection");
            client.get("/").await.expect("an answer");
            kept.push(client);
        }
        let slow = [program.begin("/sleep/60000").await, program.begin("/sleep/60000").await];
        let answer = report(&program.command("reload").await);
        let slot = &answer.slots[0];
        let expected = (Some(20), Some(0), Some(2), Some(2), false);
        let fates = (slot.handed_off, slot.finished, slot.aborted, slot.requests_failed, slot.killed);
        assert_eq!(fates, expected, "{answer}\n{}", program.log());
        assert!(answer.to_string().ends_with("connections: 20 handed off, 0 finished, 2 cut; 2 requests failed"));
        drop((kept, slow));
        program.stop().await;
    })
    .await;
}

/// The drains overlap: sixteen that take all their time take it together.
#[tokio::test]
async fn sixteen_slots_with_websockets_are_reloaded_within_about_one_drain() {
    const SLOTS: usize = 16;
    within(100, async {
        let drain_timeout = Duration::from_secs(4);
        let mut program = Program::serving(Plan { drain_timeout, ..Plan::nodes(SLOTS) }).await;
        // None of them listens for the drain, so all stay until they are cut.
        let mut sockets = Vec::new();
        for _ in 0..2 * SLOTS {
            let url = format!("ws://{}/ws", program.addr);
            sockets.push(tokio_tungstenite::connect_async(url).await.expect("an upgrade").0);
        }
        let open = program.status_where(|s| s.slots.iter().map(|slot| slot.connections).sum::<u64>() == 32).await;
        let busy = open.slots.iter().filter(|slot| slot.connections > 0).count();
        assert!(busy >= SLOTS / 2, "one after the other would take no longer: {open:?}");
        let answer = report(&program.command("reload").await);
        assert_eq!((answer.aborted(), answer.requests_failed()), (2 * SLOTS as u64, 0), "{answer}\n{}", program.log());
        assert!(answer.slots.iter().all(|slot| !slot.killed), "{answer}");
        // One after the other the successors come up, and meanwhile all drain.
        let coming_up: Duration = answer.slots.iter().map(|slot| slot.to_ready).sum();
        assert!((drain_timeout / 2..coming_up + drain_timeout * 2).contains(&answer.took), "{answer}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn of_a_node_that_was_killed_the_report_tells_what_it_still_had() {
    within(30, async {
        let drain_timeout = Duration::from_millis(500);
        let mut program = Program::serving(Plan { drain_timeout, ..Plan::nodes(1) }).await;
        let blocked = program.begin("/block/60000").await;
        let answer = report(&program.command("reload").await);
        let slot = &answer.slots[0];
        let fates = (slot.handed_off, slot.finished, slot.aborted, slot.requests_failed, slot.killed);
        assert_eq!(fates, (None, None, Some(1), Some(1), true), "{answer}\n{}", program.log());
        drop(blocked);
        program.stop().await;
    })
    .await;
}

/// A deploy folder: `releases/1`, `releases/2`, and `current`, which points to one of them.
struct Deploy(TempDir);

impl Deploy {
    /// Two releases of the fixture, the first of which is current.
    fn new() -> Deploy {
        let deploy = Deploy(tempfile::tempdir().expect("a temporary folder"));
        for number in [1, 2] {
            std::fs::create_dir_all(deploy.release(number)).expect("a folder of ours");
            std::fs::copy(fixture(), deploy.program(number)).expect("a copy of the fixture");
        }
        deploy.switch_to(1);
        deploy
    }

    fn release(&self, number: u32) -> PathBuf {
        self.root().join("releases").join(number.to_string())
    }

    fn program(&self, number: u32) -> PathBuf {
        self.release(number).join("fixture")
    }

    fn current(&self) -> PathBuf {
        self.root().join("current")
    }

    /// As deploy tools do: the link changes from one moment to the next.
    fn switch_to(&self, number: u32) {
        let next = self.root().join("next");
        std::os::unix::fs::symlink(self.release(number), &next).expect("a link in a folder of ours");
        std::fs::rename(next, self.current()).expect("a link in a folder of ours");
    }

    fn root(&self) -> PathBuf {
        self.0.path().canonicalize().expect("it exists")
    }

    /// Starts what is current, in the current folder, as a service manager would.
    async fn start(&self, nodes: usize) -> Program {
        let current = self.current();
        let mut program = Program::run(&current.join("fixture"), Plan::nodes(nodes), |command| {
            command.current_dir(&current).env("PWD", &current);
        })
        .await;
        program.command("ready").await;
        program
    }
}

/// Checks which program every node runs, and in which folder.
async fn run(program: &mut Program, file: &Path) {
    for pid in program.pids().await {
        assert_eq!(procfs::program(pid).as_deref(), Some(file), "the program of {pid}");
        assert_eq!(procfs::directory(pid).as_deref(), file.parent(), "the working directory of {pid}");
    }
}

/// Kills a node, and waits for the next.
async fn crash(program: &mut Program) {
    let pids = program.pids().await;
    let restarts = program.status().await.slots[0].restarts;
    send(pids[0], Signal::KILL);
    program.status_where(|s| s.slots[0].restarts > restarts && s.is_ready()).await;
}

#[tokio::test]
async fn a_reload_follows_the_link_and_a_crash_does_not() {
    within(30, async {
        let deploy = Deploy::new();
        let mut program = deploy.start(2).await;
        run(&mut program, &deploy.program(1)).await;

        deploy.switch_to(2);
        crash(&mut program).await;
        run(&mut program, &deploy.program(1)).await;

        program.signal(Signal::HUP);
        program.logged("reload done").await;
        run(&mut program, &deploy.program(2)).await;
        crash(&mut program).await;
        run(&mut program, &deploy.program(2)).await;

        deploy.switch_to(1);
        report(&program.command("reload").await);
        run(&mut program, &deploy.program(1)).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_release_restarts_and_is_not_reloaded_to() {
    within(30, async {
        let deploy = Deploy::new();
        let mut program = deploy.start(2).await;
        let pids = program.pids().await;
        std::fs::remove_file(deploy.program(1)).expect("a file of ours");
        crash(&mut program).await;
        assert_eq!(failure(&program.command("reload").await), missing(&deploy.current().join("fixture")));

        std::fs::remove_dir_all(deploy.release(1)).expect("a folder of ours");
        crash(&mut program).await;
        assert_eq!(failure(&program.command("reload").await), missing(&deploy.current()));
        assert_eq!(program.pids().await[1], pids[1], "a node that was not killed serves on");

        deploy.switch_to(2);
        report(&program.command("reload").await);
        run(&mut program, &deploy.program(2)).await;
        program.stop().await;
    })
    .await;
}

fn missing(path: &Path) -> String {
    let remedy = "set `Options::program` if the program is elsewhere";
    format!("cannot start nodes: {}: no such file or directory; {remedy}", path.display())
}
