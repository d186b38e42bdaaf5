//! Messages of other machines, which a gateway passes on.

use multi_node_bus::{Bus, Event, Payload, Relay, RemoteProcess, Subscription};
use multi_node_fleet::id::{NodeId, Slot};

use crate::world::{GATEWAY, World, limits, until, within};

fn process(number: u64) -> RemoteProcess {
    RemoteProcess { machine: "alpha".to_owned(), epoch: 9, number, slot: Some(Slot(0)) }
}

fn payload(text: &str) -> Payload {
    Payload::text(text)
}

fn message(number: u64, text: &str) -> Event {
    Event::Message { from: process(number).id(), payload: payload(text) }
}

fn lagged(number: u64, missed: u64) -> Event {
    Event::Lagged { from: process(number).id(), missed }
}

/// Two nodes and a gateway, with a subscription of each node.
async fn subscribed() -> (World, Vec<Bus>, Relay, [Subscription; 2]) {
    let (world, mut buses) = World::of(2);
    buses.push(world.add(GATEWAY, limits()));
    let one = buses[0].topic("news").unwrap().subscribe().await;
    let two = buses[1].topic("news").unwrap().subscribe().await;
    let relay = buses[2].relay();
    until("both have subscribed", || buses[2].topic("news").unwrap().subscribers().len() == 2).await;
    (world, buses, relay, [one, two])
}

async fn next(subscription: &mut Subscription) -> Event {
    within("an event", subscription.recv()).await
}

#[tokio::test]
async fn a_message_of_another_machine_comes_once_to_each_subscriber_and_names_its_sender() {
    let (_world, buses, relay, mut subscriptions) = subscribed().await;
    assert_eq!(relay.subscribed(), ["news".into()]);
    assert_eq!(relay.message("news", &process(1), 5, &payload("a")), 2);
    assert_eq!(relay.message("news", &process(1), 6, &payload("b")), 2);
    assert_eq!(relay.message("other", &process(1), 1, &payload("nobody")), 0);
    for subscription in &mut subscriptions {
        assert_eq!([next(subscription).await, next(subscription).await], [message(1, "a"), message(1, "b")]);
        assert_eq!(subscription.try_recv(), None);
    }
    assert_eq!(buses[0].remote(process(1).id()), Some(process(1)));
    assert_eq!(buses[0].remote(process(2).id()), None);
    drop(subscriptions);
    until("nobody subscribes", || relay.subscribed().is_empty()).await;
}

#[tokio::test]
async fn every_gap_shows_wherever_it_came_from() {
    let (_world, _buses, relay, [mut one, _two]) = subscribed().await;
    relay.message("news", &process(1), 5, &payload("a"));
    relay.message("news", &process(1), 8, &payload("b"));
    relay.message("news", &process(1), 7, &payload("late"));
    relay.message("news", &process(2), 1, &payload("c"));
    relay.next_is("news", &process(1), 11);
    let mut events = Vec::new();
    while events.len() < 5 {
        events.push(next(&mut one).await);
    }
    assert_eq!(events, [message(1, "a"), lagged(1, 2), message(1, "b"), message(2, "c"), lagged(1, 2)]);
}

#[tokio::test]
async fn what_a_killed_gateway_has_lost_shows_by_the_next_one() {
    let (world, _buses, relay, [mut one, mut two]) = subscribed().await;
    relay.message("news", &process(1), 5, &payload("a"));
    assert_eq!(next(&mut one).await, message(1, "a"));
    assert_eq!(next(&mut two).await, message(1, "a"));
    world.kill(GATEWAY);
    let gateway = world.add(GATEWAY, limits());
    until("both have subscribed", || gateway.topic("news").unwrap().subscribers().len() == 2).await;
    let relay = gateway.relay();
    relay.next_is("news", &process(1), 8);
    relay.message("news", &process(1), 8, &payload("b"));
    for subscription in [&mut one, &mut two] {
        assert_eq!([next(subscription).await, next(subscription).await], [lagged(1, 2), message(1, "b")]);
    }
}

#[tokio::test]
async fn who_subscribes_later_begins_where_the_gateway_is() {
    let (world, _buses, relay, [mut one, _two]) = subscribed().await;
    relay.message("news", &process(1), 5, &payload("a"));
    assert_eq!(next(&mut one).await, message(1, "a"));
    let newcomer = world.add(3, limits());
    let mut third = newcomer.topic("news").unwrap().subscribe().await;
    relay.message("news", &process(1), 7, &payload("b"));
    assert_eq!([next(&mut third).await, next(&mut third).await], [lagged(1, 1), message(1, "b")]);
}

#[tokio::test]
async fn a_newcomer_has_the_history_of_other_machines_without_what_comes_by_the_gateway() {
    let (world, mut buses) = World::of(1);
    buses.push(world.add(GATEWAY, limits()));
    let topic = buses[0].topic("news").unwrap().history(10);
    let mut one = topic.subscribe().await;
    let relay = buses[1].relay();
    relay.message("news", &process(1), 5, &payload("a"));
    assert_eq!(next(&mut one).await, message(1, "a"));
    let newcomer = world.add(2, limits());
    let mut two = newcomer.topic("news").unwrap().history(10).subscribe().await;
    relay.message("news", &process(1), 6, &payload("b"));
    assert_eq!([next(&mut two).await, next(&mut two).await], [message(1, "a"), message(1, "b")]);
}

#[tokio::test]
async fn only_the_gateway_speaks_for_other_machines() {
    let (_world, buses) = World::of(2);
    let _one = buses[0].topic("news").unwrap().subscribe().await;
    buses[1].relay().message("news", &process(1), 5, &payload("a"));
    until("the link is closed", || buses[0].counts().bad_frames == 1).await;
    assert_eq!(buses[0].remote(process(1).id()), None);
}

#[tokio::test]
async fn a_gateway_counts_what_a_process_publishes_from_its_first_message() {
    let (world, buses) = World::of(1);
    let news = buses[0].topic("news").unwrap();
    news.publish(payload("before")).unwrap();
    let gateway = world.add(GATEWAY, limits());
    let topic = gateway.topic("news").unwrap();
    assert_eq!(topic.first_of(buses[0].me()), None);
    let mut subscription = topic.subscribe().await;
    let seq = news.publish(payload("a")).unwrap().seq;
    let event = next(&mut subscription).await;
    assert_eq!(event, Event::Message { from: buses[0].me(), payload: payload("a") });
    assert_eq!(topic.first_of(buses[0].me()), Some(seq));
    assert_eq!(topic.first_of(NodeId::node(7)), None);
}
