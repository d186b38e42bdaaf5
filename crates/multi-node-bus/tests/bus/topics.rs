//! Who gets what, in which order.

use std::collections::BTreeMap;

use multi_node_bus::{Bus, BusLimits, Event, PublishError, TopicError};
use multi_node_fleet::id::NodeId;

use crate::world::{World, id, limits, message, next, text, within};

#[tokio::test]
async fn a_process_without_peers_hears_itself() {
    let bus = Bus::new(id(1), limits());
    bus.members_complete();
    let topic = bus.topic("t").unwrap();
    let mut first = topic.subscribe().await;
    let mut second = topic.subscribe().await;
    assert!(!topic.publish(text("a")).unwrap().is_lagging());
    assert_eq!(next(&mut first).await, message(1, "a"));
    assert_eq!(next(&mut second).await, message(1, "a"));
    assert_eq!(first.try_recv(), None);
}

#[tokio::test]
async fn every_subscriber_gets_what_any_process_publishes() {
    let (_world, buses) = World::of(4);
    let topics: Vec<_> = buses.iter().map(|bus| bus.topic("t").unwrap()).collect();
    let mut subscriptions = Vec::new();
    for topic in &topics {
        subscriptions.push(topic.subscribe().await);
    }
    for (number, topic) in (1..).zip(&topics) {
        assert_eq!(topic.publish(text(number)).unwrap().sent, 3);
    }
    for subscription in &mut subscriptions {
        let mut got = Vec::new();
        for _ in 0..4 {
            got.push(next(subscription).await);
        }
        got.sort_by_key(Event::from);
        assert_eq!(got, (1..=4).map(|number| message(number, number)).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_of_one_publisher_stay_in_order() {
    const EACH: u64 = 500;
    let (_world, buses) = World::of(4);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().await;
    let publishers: Vec<_> = buses.iter().map(|bus| bus.topic("t").unwrap()).collect();
    for topic in publishers {
        tokio::spawn(async move {
            for number in 0..EACH {
                assert!(!topic.publish(text(number)).unwrap().is_lagging());
                tokio::task::yield_now().await;
            }
        });
    }
    let mut expected: BTreeMap<NodeId, u64> = (1..=4).map(|number| (id(number), 0)).collect();
    for _ in 0..4 * EACH {
        let event = next(&mut subscription).await;
        let number = expected.get_mut(&event.from()).unwrap();
        assert_eq!(event, message(event.from().number(), *number));
        *number += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_publish_at_once_number_their_messages_without_a_gap() {
    let (_world, buses) = World::of(2);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().await;
    let topic = buses[1].topic("t").unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let topic = topic.clone();
            std::thread::spawn(move || (0..250).for_each(|_| assert!(topic.publish(text("x")).is_ok())))
        })
        .collect();
    for _ in 0..1000 {
        assert_eq!(next(&mut subscription).await, message(2, "x"));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(topic.publish(text("x")).unwrap().seq, 1001);
}

#[tokio::test]
async fn content_types_and_large_payloads_arrive_as_they_were() {
    let (_world, buses) = World::of(2);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().await;
    let topic = buses[1].topic("t").unwrap();
    let payloads = [
        multi_node_bus::Payload::bytes(vec![7; 1 << 20]),
        multi_node_bus::Payload::bytes(Vec::new()),
        multi_node_bus::Payload::json(&[1, 2]).unwrap(),
        multi_node_bus::Payload::message_pack(&"m").unwrap(),
    ];
    for payload in payloads {
        assert_eq!(topic.publish(payload.clone()).unwrap().sent, 1);
        assert_eq!(next(&mut subscription).await, Event::Message { from: id(2), payload });
    }
    let too_large = multi_node_bus::Payload::bytes(vec![7; (1 << 20) + 1]);
    assert!(matches!(topic.publish(too_large), Err(PublishError::TooLarge { .. })));
}

#[tokio::test]
async fn names_and_topics_are_bounded() {
    let bus = Bus::new(id(1), BusLimits { topics: 2, ..limits() });
    assert_eq!(bus.topic("").unwrap_err(), TopicError::Name(0));
    assert_eq!(bus.topic(&"n".repeat(256)).unwrap_err(), TopicError::Name(256));
    let (a, _b) = (bus.topic("a").unwrap(), bus.topic(&"n".repeat(255)).unwrap());
    let _again = bus.topic("a").unwrap();
    assert_eq!(bus.topic("c").unwrap_err(), TopicError::TooMany(2));
    drop((a, _again));
    bus.topic("c").unwrap();
}

#[tokio::test]
async fn events_come_in_batches_and_as_a_stream() {
    let bus = Bus::new(id(1), limits());
    bus.members_complete();
    let topic = bus.topic("t").unwrap();
    let mut subscription = topic.subscribe().await;
    for number in 0..5 {
        let _ = topic.publish(text(number)).unwrap();
    }
    let mut events = Vec::new();
    assert_eq!(within("a batch", subscription.recv_many(&mut events, 3)).await, 3);
    assert_eq!(within("a batch", subscription.recv_many(&mut events, 3)).await, 2);
    assert_eq!(events, (0..5).map(|number| message(1, number)).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_abandoned_recv_loses_nothing() {
    let bus = Bus::new(id(1), limits());
    bus.members_complete();
    let topic = bus.topic("t").unwrap();
    let mut subscription = topic.subscribe().await;
    for number in 0..200 {
        tokio::select! {
            biased;
            event = subscription.recv() => panic!("{event:?} before it was published"),
            () = tokio::task::yield_now() => {}
        }
        let _ = topic.publish(text(number)).unwrap();
        assert_eq!(next(&mut subscription).await, message(1, number));
    }
}
