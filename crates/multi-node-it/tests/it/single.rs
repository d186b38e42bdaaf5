//! One process: the same program without nodes.

use multi_node::status::State;
use multi_node::{Error, Options, http, listen};
use multi_node_it::program::fixture;
use multi_node_it::{Client, Plan, Program, within};
use rustix::process::Signal;
use serde_json::json;

/// Serves in the process that was started, reports that mode, and refuses what needs nodes.
async fn assert_serves_alone(mut program: Program) {
    let answer = program.get("/").await.expect("an answer");
    assert_eq!((answer.id(), answer.pid()), ("master".to_owned(), program.pid));
    let status = program.at_rest().await;
    assert_eq!((status.wanted, status.slots.len()), (1, 1), "{status:?}");
    let slot = &status.slots[0];
    assert_eq!((slot.state, slot.pid, slot.requests), (State::Serving, Some(program.pid), 1), "{status:?}");

    assert_eq!(program.command("peers").await, json!([]));
    for command in ["reload", "scale 3"] {
        assert_eq!(program.command(command).await, json!({ "Err": "single_process" }), "{command}");
    }
    assert_eq!(program.processes(), [program.pid]);
    drains(program).await;
}

/// SIGTERM lets it finish the request that is in flight, whatever is asked for meanwhile, and ends it well.
async fn drains(mut program: Program) {
    let mut client = Client::connect(program.addr).await.expect("a connection");
    client.ask("/sleep/1500").await.expect("sent");
    program.status_where(|s| s.slots[0].in_flight == 1).await;
    program.signal(Signal::TERM);
    program.status_where(|s| s.slots[0].state == State::Draining).await;
    assert_eq!(program.command("reload").await, json!({ "Err": "single_process" }));
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.body, "slept 1500\n");
    program.ends_well().await;
}

#[tokio::test]
async fn without_nodes_the_program_serves_by_itself() {
    within(30, async { assert_serves_alone(Program::serving(Plan::nodes(0)).await).await }).await;
}

#[tokio::test]
async fn the_environment_can_turn_nodes_off() {
    within(30, async {
        let mut program = Program::run(&fixture(), Plan::nodes(4), |command| {
            command.env("MULTI_NODE", "off");
        })
        .await;
        program.command("ready").await;
        assert_serves_alone(program).await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_part_ends_the_service() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(0)).await;
        program.get("/").await.expect("an answer");
        program.command("drop").await;
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn a_command_ends_the_service() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(0)).await;
        // The answer may be lost, since the program ends.
        let _ = program.send("shutdown").await;
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn an_unknown_mode_is_refused() {
    within(30, async {
        let mut program = Program::launch(&fixture(), Plan::nodes(4), |command| {
            command.env("MULTI_NODE", "nonsense");
        });
        assert_eq!(program.exit().await, Some(1));
        let log = program.log();
        assert!(["MULTI_NODE", "nonsense", "`off`"].iter().all(|word| log.contains(word)), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_test_program_is_not_started_again() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "only cargo's tests can be told from other programs");
    let refused = listen(Options::new().port(0).nodes(2), http(axum::Router::new())).await;
    assert!(matches!(refused, Err(Error::InTest)), "{refused:?}");
}
