//! Programs whose log nobody reads any more: a subscriber may panic then, as that of the fixture does.

use std::io::PipeReader;
use std::time::Duration;

use multi_node_it::program::fixture;
use multi_node_it::{Plan, Program, procfs, send, within};
use rustix::process::Signal;

/// The program, and the only reader of its standard error.
async fn serving(plan: Plan) -> (Program, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut program = Program::run(&fixture(), plan, |command| {
        command.stderr(writer);
    })
    .await;
    program.command("ready").await;
    (program, reader)
}

#[tokio::test]
async fn the_master_goes_on_and_so_do_its_nodes() {
    within(30, async {
        let (mut program, reader) = serving(Plan::nodes(2)).await;
        drop(reader);
        let pids = program.pids().await;
        send(pids[0], Signal::KILL);
        program.status_where(|s| s.slots[0].restarts == 1 && s.is_ready()).await;
        send(pids[1], Signal::TERM);
        program.gone([pids[1]]).await;
        let status = program.at_rest().await;
        assert_eq!(status.slots[1].restarts, 0, "it has left, and not died: {status:?}");
        assert!(program.command("reload").await["Ok"].is_object());
        program.upgrade().await.expect("the new program takes over");
        program.answering(2).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_whose_master_was_killed_leave() {
    within(30, async {
        for endless_main in [false, true] {
            let drain_timeout = Duration::from_millis(500);
            let (mut program, reader) = serving(Plan { drain_timeout, endless_main, ..Plan::nodes(2) }).await;
            let pids = program.pids().await;
            drop(reader);
            program.signal(Signal::KILL);
            program.exit().await;
            program.until(|| !pids.iter().any(|pid| procfs::is_alive(*pid))).await;
            program.leaves_nobody().await;
        }
    })
    .await;
}
