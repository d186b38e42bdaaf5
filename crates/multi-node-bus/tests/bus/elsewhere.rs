//! Requests to other machines, which a gateway passes on.

use std::time::Duration;

use multi_node_bus::{Elsewhere, Failure, Payload, RemoteProcess, Request, RequestError, Target};
use multi_node_fleet::id::{NodeId, Slot};

use crate::world::{GATEWAY, World, id, limits, until, within};

const LONG: Duration = Duration::from_secs(20);

fn process(number: u64) -> RemoteProcess {
    RemoteProcess { machine: "alpha".to_owned(), epoch: 9, number, slot: Some(Slot(0)) }
}

fn text(text: &str) -> Payload {
    Payload::text(text)
}

fn echo(bus: &multi_node_bus::Bus, name: &str) {
    let me = bus.me();
    bus.respond(
        name,
        move |request: Request| async move { Ok::<_, String>(text(&format!("{me} to {}", request.from))) },
    )
    .unwrap();
}

/// Answers what it is asked with what it was asked.
async fn repeat(elsewhere: Elsewhere) -> Result<Payload, Failure> {
    let Elsewhere { from, name, to, .. } = elsewhere;
    match name.as_str() {
        "unknown" => Err(Failure::NoHandler),
        "gone" => Err(Failure::Gone),
        "unreachable" => Err(Failure::Unreachable),
        "ended" => Err(Failure::NoSuchNode),
        "slow" => std::future::pending().await,
        _ => Ok(text(&format!("{name} for {from} at {}", to.map_or("any".to_owned(), |process| process.to_string())))),
    }
}

#[tokio::test]
async fn only_what_no_process_here_answers_is_asked_elsewhere() {
    let (world, buses) = World::of(2);
    let gateway = world.add(GATEWAY, limits());
    gateway.relay().ask_elsewhere(repeat);
    echo(&buses[1], "here");
    for _ in 0..10 {
        assert_eq!(buses[0].request("here", text("?")).await.unwrap(), text("node-2 to node-1"));
    }
    assert_eq!(buses[0].request("there", text("?")).await.unwrap(), text("there for node-1 at any"));
    assert!(buses[0].request_all("there", text("?")).await.is_empty(), "all are those of this machine");
    buses[1].stop_responding("here");
    let elsewhere = Ok(text("here for node-1 at any"));
    within("it is known", async { while buses[0].request("here", text("?")).await != elsewhere {} }).await;
}

#[tokio::test]
async fn a_process_of_another_machine_is_asked_once_it_has_asked() {
    let (world, buses) = World::of(1);
    let gateway = world.add(GATEWAY, limits());
    let relay = gateway.relay();
    relay.ask_elsewhere(repeat);
    echo(&buses[0], "here");
    let remote = process(7).id();
    let unknown = buses[0].request("there", text("?")).to(remote).await.unwrap_err();
    assert_eq!(unknown, RequestError::NoSuchNode(Target::Id(remote)));
    until("the handler is known", || relay.handlers().contains("here")).await;
    let answer = relay.request(process(7), "here", None, text("?"), LONG).await.unwrap();
    assert_eq!(answer, text(&format!("node-1 to {remote}")));
    assert_eq!(relay.request(process(7), "here", Some(id(1)), text("?"), LONG).await, Ok(answer));
    assert_eq!(buses[0].remote(remote), Some(process(7)));
    let asked = buses[0].request("there", text("?")).to(remote).await.unwrap();
    assert_eq!(asked, text("there for node-1 at alpha/0#9.7"));
    let nobody = relay.request(process(7), "there", None, text("?"), LONG).await.unwrap_err();
    assert_eq!(nobody, RequestError::NoHandler { name: "there".to_owned(), target: Target::Any }, "not asked back");
    let ended = relay.request(process(7), "here", Some(id(5)), text("?"), LONG).await.unwrap_err();
    assert_eq!(ended, RequestError::NoSuchNode(Target::Id(id(5))));
}

#[tokio::test]
async fn failures_of_other_machines_say_what_is_known() {
    let (world, buses) = World::of(1);
    let ask = async |name: &str| buses[0].request(name, text("?")).timeout(LONG).await.unwrap_err();
    let no_handler = RequestError::NoHandler { name: "unknown".to_owned(), target: Target::Any };
    assert_eq!(ask("unknown").await, no_handler, "without a gateway");
    let gateway = world.add(GATEWAY, limits());
    assert_eq!(ask("unknown").await, no_handler, "the gateway asks nobody yet");
    gateway.relay().ask_elsewhere(repeat);
    assert_eq!(ask("unknown").await, no_handler);
    assert_eq!(ask("gone").await, RequestError::Gone(NodeId::GATEWAY));
    assert_eq!(ask("unreachable").await, RequestError::Unreachable);
    let short = buses[0].request("slow", text("?")).timeout(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(short, RequestError::TimedOut(Duration::from_millis(20)));
    let asking = tokio::spawn(buses[0].request("slow", text("?")).timeout(LONG).into_future());
    until("it is asked", || gateway.counts().requests_running == 1).await;
    world.kill(GATEWAY);
    assert_eq!(asking.await.unwrap().unwrap_err(), RequestError::Gone(NodeId::GATEWAY), "at once");
}

#[tokio::test]
async fn a_gateway_learns_the_handlers_of_processes_that_ask_nothing_and_only_those_that_stay() {
    let (world, buses) = World::of(2);
    echo(&buses[0], "early");
    let gateway = world.add(GATEWAY, limits());
    let mut relay = gateway.relay();
    echo(&buses[1], "late");
    within("both are known", async {
        while relay.handlers().len() < 2 {
            relay.handlers_changed().await;
        }
    })
    .await;
    buses[1].draining();
    until("it drains", || relay.handlers().len() == 1).await;
    assert!(relay.handlers().contains("early"));
    world.cut(1, GATEWAY);
    until("the link is made anew", || gateway.counts().links_broken == 1 && relay.handlers().contains("early")).await;
}

#[tokio::test]
async fn only_the_gateway_asks_for_other_machines() {
    let (_world, buses) = World::of(2);
    echo(&buses[1], "here");
    let asked = buses[0].relay().request(process(7), "here", Some(id(2)), text("?"), LONG).await;
    assert_eq!(asked, Err(RequestError::Gone(id(2))));
    until("the link is closed", || buses[1].counts().bad_frames == 1).await;
    assert_eq!(buses[1].remote(process(7).id()), None);
}
