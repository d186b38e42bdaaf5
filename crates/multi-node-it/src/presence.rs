//! Routes of the fixture program that show the machines of a cluster.

use std::sync::{Arc, Mutex, PoisonError};

use axum::routing::get;
use axum::{Json, Router};
use multi_node::Handle;
use multi_node::status::{Machine, MachineEvent};
use serde_json::{Value, json};

/// `/machines` shows the other machines, and what has happened to their processes.
pub fn routes(node: Handle) -> Router {
    let events = Arc::<Mutex<Vec<String>>>::default();
    let (noted, mut joined_and_left) = (events.clone(), node.machine_events());
    tokio::spawn(async move {
        while let Some(event) = joined_and_left.next().await {
            let line = match event {
                MachineEvent::Joined(process) => format!("{process} joined"),
                MachineEvent::Left(process, why) => format!("{process} left: {why}"),
                other => format!("{other:?}"),
            };
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    let show = move || async move {
        let machines: Vec<Value> = node.machines().iter().map(shown).collect();
        let events = events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Json(json!({ "machine": node.machine(), "machines": machines, "events": events }))
    };
    Router::new().route("/machines", get(show))
}

fn shown(machine: &Machine) -> Value {
    let Machine { name, epoch, reachable, fleet, .. } = machine;
    json!({ "name": name, "epoch": epoch, "reachable": reachable, "wanted": fleet.wanted, "serving": fleet.serving() })
}
