//! `run --join`: the same program on two machines, which are two commands of this one, joined by a real NATS server.

use std::time::Duration;

use multi_node_it::nats::NatsServer;
use multi_node_it::{send, within};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::sleep;

use crate::command::{Running, built};
use crate::run_steered::Place;

async fn server() -> Option<NatsServer> {
    let mut server = NatsServer::new()?;
    server.start().await;
    Some(server)
}

/// A program that knows nothing of multi-node, on a machine of this name.
async fn machine(place: &Place, url: &str, name: &str, more: &[&str]) -> Running {
    let program = built("listenfd_axum");
    let options = ["run", "--name", name, "-n", "2", "--bind", "127.0.0.1:0", "--settle", "100ms"];
    let join = ["--join", url, "--machine", name, "--cluster", "web"];
    let mut command = place.command(&[&options[..], &join, more, &["--", &program]].concat());
    command.stdout(std::process::Stdio::null());
    let mut running = Running::of(command);
    running.ready(2).await;
    running
}

/// The machines that this one knows, once they are as wanted.
async fn knows(place: &Place, name: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    loop {
        let known = place.json(&["status", "--all-machines", "--name", name]).await;
        let machines = known.as_array().expect("a list");
        if wanted(machines) {
            return machines.clone();
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether both slots serve in this generation.
fn serving(machine: &Value, generation: u64) -> bool {
    let processes = machine["processes"].as_array().into_iter().flatten();
    let serves = |process: &&Value| process["state"] == "serving" && process["generation"] == generation;
    machine["reachable"] == true && processes.filter(|process| !process["slot"].is_null()).filter(serves).count() == 2
}

#[tokio::test]
async fn programs_that_know_nothing_of_it_are_seen_and_reloaded_on_all_machines() {
    let Some(server) = server().await else { return };
    within(120, async {
        let place = Place::new();
        let alpha = machine(&place, &server.url(), "alpha", &["--remote-commands"]).await;
        let mut beta = machine(&place, &server.url(), "beta", &["--remote-commands"]).await;
        let both = |generation| {
            move |machines: &[Value]| machines.len() == 2 && machines.iter().all(|machine| serving(machine, generation))
        };
        let known = knows(&place, "alpha", both(0)).await;
        let names: Vec<_> = known.iter().map(|machine| machine["machine"].as_str().expect("a name")).collect();
        assert_eq!(names, ["alpha", "beta"]);
        let text = place.prints(&["reload", "--all-machines", "--name", "alpha"]).await;
        assert!(text.contains("alpha: generation 1 serves") && text.contains("beta: generation 1 serves"), "{text}");
        knows(&place, "alpha", both(1)).await;
        knows(&place, "beta", both(1)).await;

        // Another gateway takes the place of one that was killed.
        let pid = place.json(&["status", "--name", "beta"]).await["gateway"]["pid"].as_u64().expect("a pid");
        send(u32::try_from(pid).expect("a pid"), Signal::KILL);
        beta.logged("starting another in").await;
        beta.logged("joined with other machines by NATS").await;
        assert_eq!(alpha.stop().await, Some(0));
        knows(&place, "beta", |machines| machines.len() == 1).await;
        assert_eq!(beta.stop().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_machine_that_allows_no_commands_of_others_is_not_reloaded() {
    let Some(server) = server().await else { return };
    within(120, async {
        let place = Place::new();
        let alpha = machine(&place, &server.url(), "alpha", &[]).await;
        let beta = machine(&place, &server.url(), "beta", &[]).await;
        knows(&place, "alpha", |machines| machines.len() == 2).await;
        let complaint = "beta takes no commands of other machines; ";
        place.fails(&["reload", "--all-machines", "--name", "alpha"], 1, complaint).await;
        assert_eq!((alpha.stop().await, beta.stop().await), (Some(0), Some(0)));
    })
    .await;
}

#[tokio::test]
async fn a_machine_without_nats_says_so_serves_and_is_joined_later() {
    let Some(mut server) = NatsServer::new() else { return };
    within(120, async {
        let place = Place::new();
        let mut alpha = machine(&place, &server.url(), "alpha", &[]).await;
        if !alpha.seen.iter().any(|line| line.contains("joining other machines: ")) {
            alpha.logged("joining other machines: ").await;
        }
        server.start().await;
        alpha.logged("joined with other machines by NATS").await;
        assert_eq!(alpha.stop().await, Some(0));
    })
    .await;
}
