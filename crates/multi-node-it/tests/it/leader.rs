//! A job that one process does, whatever becomes of processes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use multi_node_it::leads::diary;
use multi_node_it::{Example, Fault, Plan, Program, needs, port, procfs, send, within};
use rustix::process::Signal;
use tempfile::TempDir;

/// Where all processes of a test write what they do.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn plan(nodes: usize, folder: &TempDir) -> Plan {
    Plan { leads: Some(folder.path().into()), hang_timeout: Duration::from_secs(2), ..Plan::nodes(nodes) }
}

/// The process that does the job now: its identity and number.
fn leader(folder: &Path) -> Option<(String, u32)> {
    let diary = diary(folder);
    assert!(!diary.iter().any(|line| line.starts_with("OVERLAPS")), "two at once: {diary:?}");
    let begun = diary.iter().rev().find_map(|line| line.strip_prefix("begin "))?;
    let ended = diary.iter().any(|line| line.strip_prefix("end ") == Some(begun));
    let (id, pid) = begun.split_once(' ').expect("two words");
    (!ended).then(|| (id.to_owned(), pid.parse().expect("a number")))
}

/// Waits for a leader of whom that holds.
async fn leader_where(folder: &Path, wanted: impl Fn(&str, u32) -> bool) -> (String, u32) {
    loop {
        if let Some((id, pid)) = leader(folder).filter(|(id, pid)| wanted(id, *pid)) {
            return (id, pid);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn first_leader(folder: &TempDir) -> u32 {
    leader_where(folder.path(), |_, _| true).await.1
}

async fn next_leader(folder: &TempDir, old: u32) -> u32 {
    leader_where(folder.path(), |_, pid| pid != old).await.1
}

fn count(folder: &TempDir, what: &str) -> usize {
    diary(folder.path()).iter().filter(|line| line.starts_with(what)).count()
}

#[tokio::test]
async fn a_killed_leader_is_followed_by_another_node() {
    within(60, async {
        let folder = folder();
        let program = Program::serving(plan(3, &folder)).await;
        let mut pid = first_leader(&folder).await;
        for _ in 0..3 {
            send(pid, Signal::KILL);
            pid = next_leader(&folder, pid).await;
        }
        program.stop().await;
        assert_eq!((count(&folder, "begin"), count(&folder, "lost"), count(&folder, "end")), (4, 1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_reload_moves_the_job_to_the_new_program_and_waits_for_its_end() {
    within(60, async {
        let folder = folder();
        let mut program = Program::serving(plan(2, &folder)).await;
        let old = program.pids().await;
        let pid = first_leader(&folder).await;
        Fault::KeepLeading.lay(&program.faults());
        let ticket = program.send("reload").await;
        program.until(|| count(&folder, "lost") == 1).await;
        assert_eq!(count(&folder, "begin"), 1, "the job has not ended yet");
        Fault::KeepLeading.lift(&program.faults());
        let next = next_leader(&folder, pid).await;
        assert!(!old.contains(&next), "a process of the new program");
        assert!(program.answer(ticket).await["Ok"].is_object());
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_job_that_does_not_end_goes_at_the_end_of_the_drain() {
    within(60, async {
        let folder = folder();
        let plan = Plan { drain_timeout: Duration::from_millis(500), ..plan(2, &folder) };
        let mut program = Program::serving(plan).await;
        let pid = first_leader(&folder).await;
        Fault::KeepLeading.lay(&program.faults());
        assert!(program.command("reload").await["Ok"].is_object());
        next_leader(&folder, pid).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stopped_leader_blocks_the_job_until_it_is_killed() {
    within(60, async {
        let folder = folder();
        let program = Program::serving(plan(2, &folder)).await;
        let pid = first_leader(&folder).await;
        send(pid, Signal::STOP);
        program.until(|| procfs::state(pid) == Some('T')).await;
        next_leader(&folder, pid).await;
        assert!(program.log().contains("its runtime was silent for "), "it was killed as one that hangs");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_scale_down_of_the_leader_moves_the_job() {
    within(60, async {
        let folder = folder();
        let mut program = Program::serving(plan(1, &folder)).await;
        let first = first_leader(&folder).await;
        program.command("scale 2").await;
        // So that the node in the last slot leads.
        send(first, Signal::KILL);
        let last = leader_where(folder.path(), |id, _| id == "node-2").await.1;
        program.at_rest().await;
        program.command("scale 1").await;
        next_leader(&folder, last).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_job_that_has_ended_is_done_by_the_other_nodes_and_then_by_none() {
    within(60, async {
        let folder = folder();
        let program = Program::serving(plan(3, &folder)).await;
        first_leader(&folder).await;
        Fault::ReturnLease.lay(&program.faults());
        program.until(|| count(&folder, "end") == 3).await;
        program.stop().await;
        assert_eq!((count(&folder, "begin"), count(&folder, "lost")), (3, 0));
    })
    .await;
}

#[tokio::test]
async fn a_job_that_panics_is_done_again() {
    within(60, async {
        let folder = folder();
        let program = Program::serving(plan(1, &folder)).await;
        first_leader(&folder).await;
        Fault::PanicAsLeader.lay(&program.faults());
        program.logged("the job of a lease has panicked").await;
        Fault::PanicAsLeader.lift(&program.faults());
        program.until(|| count(&folder, "begin") >= 2).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_keeps_and_moves_the_job_and_a_failed_one_changes_nothing() {
    within(60, async {
        let folder = folder();
        let mut program = Program::serving(plan(2, &folder)).await;
        let pid = first_leader(&folder).await;
        Fault::DieInTrial.lay(&program.faults());
        program.upgrade().await.expect_err("the trial fails");
        Fault::DieInTrial.lift(&program.faults());
        assert_eq!((first_leader(&folder).await, count(&folder, "begin")), (pid, 1));
        program.upgrade().await.expect("the new program takes over");
        program.at_rest().await;
        let next = next_leader(&folder, pid).await;
        // The new master knows who leads, and who waits.
        let begun = count(&folder, "begin");
        send(next, Signal::KILL);
        next_leader(&folder, next).await;
        assert_eq!(count(&folder, "begin"), begun + 1);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_process_that_serves_alone_does_the_job() {
    within(60, async {
        let folder = folder();
        let program = Program::serving(plan(0, &folder)).await;
        assert_eq!(leader_where(folder.path(), |_, _| true).await, ("master".to_owned(), program.pid));
        program.stop().await;
        assert_eq!((count(&folder, "lost"), count(&folder, "end")), (1, 1));
    })
    .await;
}

/// A program at a fixed address, whose runtime directory is that of the test.
async fn run(plan: Plan, folder: &TempDir) -> Program {
    let path = multi_node_it::program::fixture();
    let mut program = Program::run(&path, plan, |command| {
        command.env("XDG_RUNTIME_DIR", folder.path());
    })
    .await;
    program.command("ready").await;
    program
}

/// Kills the master and has the next run begin while this leader of the first still does its job. `lost` is how many leases were lost then.
async fn the_next_run_waits(killed: &mut Program, plan: Plan, folder: &TempDir, (leader, lost): (u32, usize)) {
    Fault::KeepLeading.lay(&killed.faults());
    killed.signal(Signal::KILL);
    killed.exit().await;
    let next = run(plan, folder).await;
    killed.until(|| count(folder, "lost") == lost).await;
    next.logged("a job waits for its lease").await;
    assert_eq!(first_leader(folder).await, leader, "it has not ended its job");
    Fault::KeepLeading.lift(&killed.faults());
    next_leader(folder, leader).await;
    killed.leaves_nobody().await;
    next.stop().await;
}

#[tokio::test]
async fn a_leader_without_a_master_keeps_the_next_run_from_the_job() {
    within(60, async {
        let (folder, held) = (folder(), port::Held::new().expect("a port"));
        let plan = Plan { port: held.addr().port(), drain_timeout: Duration::from_secs(20), ..plan(2, &folder) };
        let mut killed = run(plan.clone(), &folder).await;
        let pid = first_leader(&folder).await;
        the_next_run_waits(&mut killed, plan, &folder, (pid, 1)).await;
    })
    .await;
}

#[tokio::test]
async fn after_the_end_of_master_and_leader_the_next_run_does_the_job() {
    within(60, async {
        let (folder, held) = (folder(), port::Held::new().expect("a port"));
        let plan = Plan { port: held.addr().port(), ..plan(2, &folder) };
        let mut killed = run(plan.clone(), &folder).await;
        let pid = first_leader(&folder).await;
        killed.signal(Signal::KILL);
        send(pid, Signal::KILL);
        killed.exit().await;
        let next = run(plan, &folder).await;
        next_leader(&folder, pid).await;
        killed.leaves_nobody().await;
        next.stop().await;
    })
    .await;
}

/// Nodes of another user keep the files of leases where that user has them. They hold and lose the lease as other nodes do, beside the next run too.
#[tokio::test]
async fn nodes_of_another_user_hold_and_lose_the_lease() {
    if !needs::root("start nodes as another user") {
        return;
    }
    within(60, async {
        let (folder, held) = (folder(), port::Held::new().expect("a port"));
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("ours");
        let plan = Plan { port: held.addr().port(), user: Some("daemon".into()), ..plan(2, &folder) };
        let mut killed = run(plan.clone(), &folder).await;
        let first = first_leader(&folder).await;
        send(first, Signal::KILL);
        let second = next_leader(&folder, first).await;
        assert!(killed.command("reload").await["Ok"].is_object());
        let third = next_leader(&folder, second).await;
        the_next_run_waits(&mut killed, plan, &folder, (third, 2)).await;
    })
    .await;
}

/// The example, and the processes that have made reports so far.
fn reporters(example: &Example) -> Vec<String> {
    let log = example.log();
    let mut ids: Vec<String> =
        log.lines().filter_map(|line| line.strip_suffix(" makes a report")).map(str::to_owned).collect();
    ids.dedup();
    ids
}

#[tokio::test]
async fn the_example_makes_each_report_once() -> anyhow::Result<()> {
    let example = Example::start("cron", &[("HOST", "127.0.0.1"), ("PORT", "0"), ("NODES", "3")]).await?;
    within(60, async {
        let until = async |count: usize| {
            while reporters(&example).len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        until(1).await;
        let number: usize = reporters(&example)[0].trim_start_matches("node-").parse()?;
        send(procfs::children(example.pid())[number - 1], Signal::KILL);
        until(2).await;
        example.stop().await
    })
    .await
}
