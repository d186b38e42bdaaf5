//! Commands other than reload: how many nodes, and who may give commands.

use std::time::Duration;

use multi_node::status::{SlotStatus, State};
use multi_node_it::program::Ticket;
use multi_node_it::{Client, Fault, Plan, Program, send, within};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The answer to a command that is given in a node, by a request.
async fn in_node(program: &Program, command: &str) -> Value {
    let answer = program.get(&format!("/order/{command}")).await.expect("an answer");
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{:?} is no answer: {error}", answer.body))
}

#[tokio::test]
async fn the_fleet_grows_and_shrinks() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let first = program.pids().await;
        assert_eq!(program.command("scale 5").await, json!({ "Ok": { "from": 2, "to": 5 } }));
        assert_eq!(program.answering(5).await.len(), 5, "when it is answered the new nodes serve");
        let grown = program.pids().await;
        assert_eq!(grown[..2], first[..], "those that served serve on");

        assert_eq!(program.command("scale 1").await, json!({ "Ok": { "from": 5, "to": 1 } }));
        let status = program.status().await;
        assert_eq!((status.wanted, status.slots.len(), status.slots[0].pid), (1, 1, Some(first[0])), "{status:?}");
        program.gone(grown[1..].iter().copied()).await;
        assert_eq!(program.command("scale 1").await, json!({ "Ok": { "from": 1, "to": 1 } }));
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn surplus_nodes_finish_what_they_have() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(3)).await;
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(program.begin("/sleep/500").await);
        }
        assert_eq!(program.command("scale 1").await["Ok"]["to"], json!(1));
        for client in &mut clients {
            assert_eq!(client.answer().await.expect("an answer").body, "slept 500\n");
        }
        program.stop().await;
    })
    .await;
}

/// The node that stays has just been killed, and the next one does not serve yet.
#[tokio::test]
async fn connections_of_surplus_nodes_wait_for_the_one_that_stays() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let pids = program.pids().await;
        let mut client = program.connected_to("node-2").await;
        Fault::StuckInFactory.lay(&program.faults());
        send(pids[0], Signal::KILL);
        program.status_where(|s| s.slots[0].state == State::Initializing).await;
        let scaled = program.send("scale 1").await;
        program.status_where(|s| s.slots.get(1).is_none_or(|slot| slot.state == State::Draining)).await;
        Fault::StuckInFactory.lift(&program.faults());
        assert_eq!(program.answer(scaled).await, json!({ "Ok": { "from": 2, "to": 1 } }));
        client.get("/").await.expect("its connection has moved");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn numbers_that_are_not_allowed_are_refused() {
    within(30, async {
        let mut program = Program::serving(Plan { max_nodes: 4, ..Plan::nodes(2) }).await;
        for asked in [0, 5] {
            let refusal = json!({ "Err": { "out_of_range": { "asked": asked, "max": 4 } } });
            assert_eq!(program.command(&format!("scale {asked}")).await, refusal);
        }
        assert_eq!(program.at_rest().await.slots.len(), 2);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_growth_that_fails_is_undone() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let before = program.pids().await;
        Fault::FailFactory.lay(&program.faults());
        let answer = program.command("scale 3").await;
        let why =
            "node-3 in slot 2 ended with exit code 1 while initializing: cannot reach the database: no route to host";
        let serving = json!({ "nodes": 2, "generations": [0, 0] });
        assert_eq!(answer, json!({ "Err": { "failed": { "why": why, "serving": serving } } }));
        assert_eq!(program.pids().await, before);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn one_slot_is_restarted_and_its_connections_go_on() {
    within(30, async {
        let mut program = Program::serving(Plan::nodes(2)).await;
        let before = program.at_rest().await;
        let mut client = Client::connect(program.addr).await.expect("a connection");
        let first = client.get("/").await.expect("an answer").id();
        let is_first = |slot: &SlotStatus| slot.id.is_some_and(|id| id.to_string() == first);
        let slot = before.slots.iter().position(is_first).expect("it serves");
        let answer = program.command(&format!("restart {slot}")).await;
        let (old, new) = (before.slots[slot].id, &answer["Ok"]["new"]);
        assert_eq!((&answer["Ok"]["slot"], &answer["Ok"]["old"]), (&json!(slot), &json!(old)), "{answer}");
        let after = program.at_rest().await;
        assert_eq!(json!(after.slots[slot].id), *new);
        assert_eq!(after.slots[1 - slot].id, before.slots[1 - slot].id, "the other slot keeps its node");
        let node = after.slots[slot].id.expect("it serves").to_string();
        assert_eq!(client.get("/").await.expect("an answer").id(), node, "the successor has the connection");

        let refusal = json!({ "Err": { "no_such_slot": { "slot": 2, "slots": 2 } } });
        assert_eq!(program.command("restart 2").await, refusal);
        program.stop().await;
    })
    .await;
}

/// A program whose reload has begun, and waits until [`Fault::StuckInFactory`] is lifted.
async fn in_a_reload() -> (Program, Ticket) {
    let mut program = Program::serving(Plan::nodes(2)).await;
    Fault::StuckInFactory.lay(&program.faults());
    let reload = program.send("reload").await;
    program.status_where(|s| s.slots.iter().any(|slot| slot.state == State::Initializing)).await;
    (program, reload)
}

#[tokio::test]
async fn commands_are_carried_out_one_at_a_time() {
    within(30, async {
        let (mut program, reload) = in_a_reload().await;
        let busy = json!({ "Err": { "busy": { "running": "reload" } } });
        assert_eq!(program.command("restart 0").await, busy);
        assert_eq!(program.command("scale 3").await, busy);
        Fault::StuckInFactory.lift(&program.faults());
        assert_eq!(program.answer(reload).await["Ok"]["generation"], json!(1), "the reload is none the worse for it");
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn of_reloads_that_come_during_a_reload_the_last_runs_next() {
    within(30, async {
        let (mut program, first) = in_a_reload().await;
        let second = program.send("reload").await;
        let third = program.send("reload").await;
        let superseded = json!({ "Err": { "superseded": { "by": "reload" } } });
        assert_eq!(program.answer(second).await, superseded);
        program.signal(Signal::HUP);
        assert_eq!(program.answer(third).await, superseded);
        Fault::StuckInFactory.lift(&program.faults());
        assert_eq!(program.answer(first).await["Ok"]["generation"], json!(1));
        program.logged("reload done: generation 2").await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn nodes_give_commands_only_where_they_may() {
    within(30, async {
        let mut program = Program::serving(Plan { commands_from_nodes: false, ..Plan::nodes(2) }).await;
        let before = program.pids().await;
        for command in ["reload", "scale-3", "shutdown"] {
            assert_eq!(in_node(&program, command).await, json!({ "Err": "not_from_nodes" }), "{command}");
        }
        assert_eq!(program.pids().await, before);
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_may_scales_and_sees_the_answer() {
    within(30, async {
        let mut program = Program::serving(Plan { max_nodes: 4, ..Plan::nodes(2) }).await;
        assert_eq!(in_node(&program, "scale-3").await, json!({ "Ok": { "from": 2, "to": 3 } }));
        let refusal = json!({ "Err": { "out_of_range": { "asked": 5, "max": 4 } } });
        assert_eq!(in_node(&program, "scale-5").await, refusal);
        program.at_rest().await;
        program.answering(3).await;
        program.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_may_reloads_and_shuts_down() {
    within(30, async {
        // A request that waits for the end of its own node is cut at the deadline.
        let drain_timeout = Duration::from_millis(300);
        let mut program = Program::serving(Plan { drain_timeout, ..Plan::nodes(2) }).await;
        let before = program.pids().await;
        let _reloading = program.begin("/order/reload").await;
        program.logged("reload done: generation 1 serves in 2 slots").await;
        let after = program.pids().await;
        assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?} became {after:?}");
        let _ending = Client::connect(program.addr).await.expect("a connection").get("/order/shutdown").await;
        program.ends_well().await;
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_overtakes_a_reload() {
    within(30, async {
        let (mut program, reload) = in_a_reload().await;
        let shutdown = program.send("shutdown").await;
        assert_eq!(program.answer(reload).await, json!({ "Err": "shutting_down" }));
        assert_eq!(program.answer(shutdown).await, json!({ "Ok": null }));
        program.ends_well().await;
    })
    .await;
}
