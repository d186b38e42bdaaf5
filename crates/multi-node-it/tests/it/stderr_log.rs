//! A program without a subscriber of `tracing` gets the master's log on standard error.

use multi_node_it::{Plan, Program, send, within};
use rustix::process::Signal;

fn unsubscribed(nodes: usize) -> Plan {
    Plan { subscriber: false, ..Plan::nodes(nodes) }
}

#[tokio::test]
async fn a_program_without_a_subscriber_shows_what_becomes_of_its_nodes() {
    within(30, async {
        let mut program = Program::serving(unsubscribed(2)).await;
        program.logged("INFO ready after").await;
        send(program.pids().await[1], Signal::KILL);
        program.logged("WARN ended by SIGKILL while serving; starting again at once  slot=1 id=node-2").await;
        program.logged("id=node-3").await;
        let lines = program.log();
        assert!(lines.lines().all(|line| line.starts_with("multi-node ") && line.contains("Z ")), "{lines}");
        assert!(!lines.contains(" DEBUG "), "{lines}");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn it_can_be_turned_off() {
    within(30, async {
        let plan = Plan { log_to_stderr: false, ..unsubscribed(1) };
        let program = Program::serving(plan).await;
        assert_eq!(program.log(), "");
        program.stop().await;
    })
    .await;
}
