//! What machines know of each other's processes: exits, losses, splits, and what a new gateway does not change.

use std::time::{Duration, Instant};

use multi_node_it::proxy::{Network, Proxy};
use multi_node_it::{Plan, Program, send, within};
use rustix::process::Signal;
use serde_json::Value;

use super::machines::{first, gateway, plan, server};

/// Within what time the loss of a machine has to be known: three heartbeats are missed. The rest is for a busy test machine.
const LOST: Duration = Duration::from_millis(8_000 + 1_500);

/// What the first node of this program knows of others, once it is as wanted.
async fn knows(program: &mut Program, wanted: impl Fn(&Value) -> bool) -> Value {
    let id = first(program).await;
    let mut node = program.connected_to(&id).await;
    loop {
        let known = node.get("/machines").await.expect("an answer").json();
        if wanted(&known) {
            return known;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn events(known: &Value) -> Vec<&str> {
    known["events"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

/// The machine is known so: its state, and how many of its slots serve. The events say the same.
fn is(name: &'static str, reachable: bool, serving: u64) -> impl Fn(&Value) -> bool {
    move |known| {
        let machines = known["machines"].as_array().expect("a list");
        let machine = machines.iter().find(|machine| machine["name"] == name);
        let is_so = machine.is_some_and(|machine| machine["reachable"] == reachable && machine["serving"] == serving);
        is_so && in_events(known) == in_machines(machines)
    }
}

/// How many processes have joined and not left.
fn in_events(known: &Value) -> u64 {
    let (joined, left): (Vec<_>, Vec<_>) = events(known).into_iter().partition(|event| event.ends_with("joined"));
    (joined.len() - left.len()) as u64
}

/// How many processes serve, with their masters.
fn in_machines(machines: &[Value]) -> u64 {
    let reachable = machines.iter().filter(|machine| machine["reachable"] == true);
    reachable.map(|machine| machine["serving"].as_u64().expect("a number") + 1).sum()
}

fn has(line: &'static str) -> impl Fn(&Value) -> bool {
    move |known| events(known).iter().any(|event| event.ends_with(line))
}

/// The process of an event: `alpha/2#9c41d2e0.7`.
fn process<'a>(events: &[&'a str], place: &str, what: &str) -> &'a str {
    let event = events.iter().rev().find(|event| event.starts_with(place) && event.ends_with(what));
    event.and_then(|event| event.split(' ').next()).unwrap_or_else(|| panic!("no {place} {what} in {events:?}"))
}

#[tokio::test]
async fn exits_are_known_at_once_and_a_new_gateway_changes_nothing() {
    let Some(server) = server().await else { return };
    within(120, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        let known = knows(&mut beta, is("alpha", true, 2)).await;
        assert_eq!(known["machine"], "beta");
        let killed = process(&events(&known), "alpha/0#", "joined").to_owned();
        knows(&mut alpha, is("beta", true, 2)).await;

        let (pids, begun) = (alpha.pids().await, Instant::now());
        send(pids[0], Signal::KILL);
        let known = knows(&mut beta, has("left: it has ended")).await;
        println!("the end of a node was known after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(2), "before any heartbeat is missed");
        assert_eq!(process(&events(&known), "alpha/", "left: it has ended"), killed);
        let known = knows(&mut beta, is("alpha", true, 2)).await;
        assert_ne!(process(&events(&known), "alpha/0#", "joined"), killed, "no identity comes twice");

        let count = events(&known).len();
        for program in [&mut alpha, &mut beta] {
            let pid = gateway(program).await;
            send(pid, Signal::KILL);
            program
                .status_where(|status| status.gateway.as_ref().is_some_and(|now| now.connected && now.pid != Some(pid)))
                .await;
        }
        // What happens later is known by the new gateways.
        let pids = alpha.pids().await;
        send(pids[1], Signal::KILL);
        let known = knows(&mut beta, |known| events(known).len() >= count + 2).await;
        let new = &events(&known)[count..];
        assert!(new[0].starts_with("alpha/1#") && new[0].ends_with("left: it has ended"), "{new:?}");
        assert!(new[1].starts_with("alpha/1#") && new[1].ends_with("joined"), "{new:?}");

        let begun = Instant::now();
        alpha.stop().await;
        let known = knows(&mut beta, has("left: its machine has left")).await;
        println!("the end of a program was known {:?} after it was ordered", begun.elapsed());
        assert_eq!(known["machines"].as_array().map(Vec::len), Some(0), "{known}");
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_machine_that_is_lost_is_known_within_eight_seconds() {
    let Some(server) = server().await else { return };
    within(120, async {
        let mut alpha = Program::serving(plan(&server, "alpha")).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        knows(&mut beta, is("alpha", true, 2)).await;
        let gateway = gateway(&mut alpha).await;
        // Nothing can be told any more, as when the power fails.
        [gateway, alpha.pid].iter().for_each(|pid| send(*pid, Signal::STOP));
        let begun = Instant::now();
        let known = knows(&mut beta, is("alpha", false, 2)).await;
        println!("the loss of a machine was known after {:?}", begun.elapsed());
        assert!(begun.elapsed() < LOST, "{:?}", begun.elapsed());
        let left = events(&known).iter().filter(|event| event.ends_with("left: its machine is silent")).count();
        assert_eq!(left, 3, "two nodes and their master: {known}");
        beta.status_where(|status| status.gateway.as_ref().is_some_and(|gateway| gateway.machines == 0)).await;
        [gateway, alpha.pid].iter().for_each(|pid| send(*pid, Signal::CONT));
        knows(&mut beta, is("alpha", true, 2)).await;
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_split_shows_on_both_sides_and_heals_with_what_has_changed() {
    let Some(server) = server().await else { return };
    within(120, async {
        let proxy = Proxy::before(server.addr()).await;
        let through = Plan { join: Some((proxy.url(), "alpha".to_owned())), ..plan(&server, "alpha") };
        let mut alpha = Program::serving(through).await;
        let mut beta = Program::serving(plan(&server, "beta")).await;
        knows(&mut alpha, is("beta", true, 2)).await;
        knows(&mut beta, is("alpha", true, 2)).await;
        let begun = Instant::now();
        proxy.set(Network::Swallows);
        let known = knows(&mut beta, is("alpha", false, 2)).await;
        assert!(begun.elapsed() < LOST, "{:?}", begun.elapsed());
        let before = process(&events(&known), "alpha/0#", "left: its machine is silent").to_owned();
        knows(&mut alpha, is("beta", false, 2)).await;
        let pids = beta.pids().await;
        send(pids[0], Signal::KILL);
        beta.status_where(|status| status.is_ready() && status.slots[0].restarts == 1).await;
        proxy.set(Network::Passes(Duration::ZERO));
        // Connections that swallowed are dead. The client finds out, and makes others.
        let known = knows(&mut beta, is("alpha", true, 2)).await;
        assert_eq!(process(&events(&known), "alpha/0#", "joined"), before, "the same process as before");
        let known = knows(&mut alpha, is("beta", true, 2)).await;
        let events = events(&known);
        let left = process(&events, "beta/0#", "left: its machine is silent");
        assert_ne!(process(&events, "beta/0#", "joined"), left, "another process has its slot");
        assert_eq!(process(&events, "beta/1#", "joined"), process(&events, "beta/1#", "left: its machine is silent"));
        alpha.stop().await;
        beta.stop().await;
    })
    .await;
}
