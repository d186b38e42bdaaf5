//! Canary: the first new node of a reload is tried, and taken back if it fails.

use std::time::Duration;

use multi_node::Status;
use multi_node::status::State;
use multi_node_it::program::Ticket;
use multi_node_it::{Client, Fault, Load, Plan, Program, within};
use rustix::process::Signal;
use serde_json::{Value, json};

fn plan(nodes: usize, duration: Duration) -> Plan {
    Plan { canary: Some((duration, 100)), ..Plan::nodes(nodes) }
}

/// Longer than any of these tests.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

fn ids(status: &Status) -> Vec<String> {
    status.slots.iter().filter_map(|slot| slot.id).map(|id| id.to_string()).collect()
}

fn rolled_back(answer: &Value) -> &str {
    answer["Err"]["rolled_back"]["why"].as_str().unwrap_or_else(|| panic!("{answer} is no roll-back"))
}

/// Begins a reload; returns when its first new node serves on trial.
pub(crate) async fn try_one(program: &mut Program) -> Ticket {
    let command = program.send("reload").await;
    program.logged("serves on trial").await;
    command
}

#[tokio::test]
async fn a_node_that_stands_its_trial_is_followed_by_the_others() {
    within(30, async {
        let mut program = Program::serving(plan(2, Duration::from_millis(1500))).await;
        let old = ids(&program.at_rest().await);
        let load = Load::begin(program.addr, 2).and_kept(program.addr, 2);
        let command = try_one(&mut program).await;
        let status = program.status().await;
        assert_eq!(ids(&status), ["node-3", "node-1", "node-2"]);
        assert!(status.slots.iter().all(|slot| slot.state == State::Serving), "{status:?}");
        let answer = program.answer(command).await;
        load.end().await;
        let canary = &answer["Ok"]["canary"];
        assert_eq!((&canary["node"], &canary["by_answers"]), (&json!("node-3"), &json!(true)), "{answer}");
        assert!(canary["new"]["requests"].as_u64() >= Some(100) && canary["new"]["errors"] == 0, "{answer}");
        assert!(ids(&program.at_rest().await).iter().all(|id| !old.contains(id)));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_answers_errors_is_taken_back() {
    within(30, async {
        let mut program = Program::serving(plan(2, LONG)).await;
        let old = ids(&program.at_rest().await);
        Fault::AnswerErrors.lay(&program.faults());
        let load = Load::begin(program.addr, 2);
        let answer = program.command("reload").await;
        load.end().await;
        assert!(rolled_back(&answer).starts_with("node-3 had server errors in "), "{answer}");
        program.status_where(|s| ids(s) == old && s.is_ready()).await;
        assert_eq!(program.answering(2).await.into_keys().collect::<Vec<_>>(), old, "both take connections again");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_old_node_of_the_slot_serves_what_it_has_and_takes_nothing_new() {
    within(30, async {
        let mut program = Program::serving(plan(1, Duration::from_secs(4))).await;
        let mut kept = Client::connect(program.addr).await.expect("a connection");
        assert_eq!(kept.get("/").await.expect("an answer").id(), "node-1");
        let command = try_one(&mut program).await;
        drop(program.connected_to("node-2").await); // until then the old one may be about to hear of it
        for _ in 0..50 {
            assert_eq!(program.get("/").await.expect("an answer").id(), "node-2");
            assert_eq!(kept.get("/").await.expect("an answer").id(), "node-1");
        }
        assert!(program.answer(command).await["Ok"].is_object());
        assert_eq!(kept.get("/").await.expect("an answer").id(), "node-2", "it has been handed off");
        program.stop().await;
    })
    .await;
}

/// Sends the node on trial a request that is its end, in one way or another.
async fn undone_by(request: &str, why: &str) {
    let plan = Plan { hang_timeout: Duration::from_secs(1), ..plan(2, LONG) };
    let mut program = Program::serving(plan).await;
    let old = ids(&program.at_rest().await);
    let load = Load::begin(program.addr, 1);
    let command = try_one(&mut program).await;
    load.end().await;
    let mut client = program.connected_to("node-3").await;
    client.ask(request).await.expect("sent");
    let answer = program.answer(command).await;
    assert!(rolled_back(&answer).contains(why), "{answer}");
    program.status_where(|s| ids(s) == old && s.is_ready()).await;
    assert_eq!(program.answering(2).await.into_keys().collect::<Vec<_>>(), old, "both take connections again");
    program.stop().await;
}

#[tokio::test]
async fn a_node_that_dies_in_its_trial_is_not_followed() {
    within(30, undone_by("/exit/3", "node-3 in slot 0 ended with exit code 3 while serving")).await;
}

#[tokio::test]
async fn a_node_that_hangs_in_its_trial_is_not_followed() {
    within(30, undone_by("/spin", "node-3 in slot 0 did not stand its trial: its runtime was silent")).await;
}

#[tokio::test]
async fn a_shutdown_overtakes_a_trial() {
    within(30, async {
        let mut program = Program::serving(plan(2, LONG)).await;
        let command = try_one(&mut program).await;
        program.signal(Signal::TERM);
        assert_eq!(program.answer(command).await, json!({ "Err": "shutting_down" }));
        program.ends_well().await;
    })
    .await;
}
