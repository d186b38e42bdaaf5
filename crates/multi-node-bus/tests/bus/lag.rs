//! A gap is always reported, and a slow process costs the others nothing.

use std::time::Duration;

use multi_node_bus::{BusLimits, Event};
use tokio::time::{Instant, sleep};

use crate::world::{RawLink, World, id, lagged, limits, message, next, text, until};

/// A raw peer that has subscribed to `t` at bus 1 and reads nothing.
async fn stopped_subscriber(world: &World, number: u64) -> RawLink {
    let raw = world.add_raw(number);
    let mut link = raw.link().await;
    link.open();
    link.send(3, 0, 40, 1, b"t");
    link.expect(5).await;
    link
}

fn narrow() -> BusLimits {
    BusLimits { peer_bytes: 64 << 10, ..limits() }
}

#[tokio::test]
async fn a_stopped_subscriber_misses_messages_and_the_others_none() {
    let (world, buses) = World::with(2, narrow());
    let topic = buses[0].topic("t").unwrap();
    let _makes_links = topic.subscribe().await;
    let mut other = buses[1].topic("t").unwrap().subscribe().await;
    let _stopped = stopped_subscriber(&world, 7).await;
    let mut missed = 0;
    for number in 0..2000 {
        let published = topic.publish(text(format!("{number:0>1000}"))).unwrap();
        missed += published.missed;
        assert_eq!(next(&mut other).await, message(1, format!("{number:0>1000}")));
    }
    assert!(missed > 1000, "{missed}");
    assert_eq!(buses[0].counts().dropped_for_peers, missed as u64);
    assert_eq!(buses[0].counts().links_broken, 0, "a slow peer keeps its link");
}

#[tokio::test]
async fn a_gap_at_the_end_is_reported_when_there_is_room() {
    let (world, buses) = World::with(1, narrow());
    let topic = buses[0].topic("t").unwrap();
    let _makes_links = topic.subscribe().now();
    let mut link = stopped_subscriber(&world, 7).await;
    let mut last = 0;
    let missed: usize = (0..1000)
        .map(|_| {
            let published = topic.publish(text("x".repeat(1000))).unwrap();
            last = published.seq;
            published.missed
        })
        .sum();
    assert!(missed > 0);
    let (mut got, mut told) = (0, 0);
    while told < last {
        let frame = link.next().await.unwrap();
        match frame.kind {
            8 => got += 1,
            9 => told = frame.seq,
            _ => {}
        }
    }
    assert_eq!(got + missed, 1000, "nothing is published after the gap, and it is told all the same");
}

#[tokio::test]
async fn a_gap_before_a_message_and_a_gap_at_the_end_become_lagged() {
    let (world, buses) = World::of(1);
    let raw = world.add_raw(7);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().now();
    let mut link = raw.link().await;
    link.open();
    let asked = link.expect(3).await;
    let mut body = asked.channel.to_le_bytes().to_vec();
    body.extend(asked.seq.to_le_bytes());
    link.send(5, 0, 9, 10, &body);
    link.send(8, 1, 9, 10, b"a");
    link.send(8, 1, 9, 13, b"b");
    link.send(9, 0, 9, 15, &[]);
    link.send(9, 0, 9, 15, &[]);
    link.send(8, 1, 9, 15, b"late");
    link.send(8, 1, 9, 16, b"c");
    let expected = [message(7, "a"), lagged(7, 2), message(7, "b"), lagged(7, 2), message(7, "c")];
    for event in expected {
        assert_eq!(next(&mut subscription).await, event);
    }
    assert_eq!(buses[0].counts().missed, 4);
}

#[tokio::test]
async fn what_a_subscription_cannot_keep_is_one_lagged_per_publisher_in_its_place() {
    let (_world, buses) = World::with(2, BusLimits { subscriber_messages: 10, ..limits() });
    let (own, other) = (buses[0].topic("t").unwrap(), buses[1].topic("t").unwrap());
    let mut subscription = own.subscribe().await;
    for number in 0..15 {
        let _ = own.publish(text(number)).unwrap();
    }
    let _ = other.publish(text("lost")).unwrap();
    until("the other's message was dropped", || buses[0].counts().dropped_for_subscribers == 6).await;
    for number in 0..10 {
        assert_eq!(next(&mut subscription).await, message(1, number));
    }
    let _ = own.publish(text("after")).unwrap();
    assert_eq!(next(&mut subscription).await, lagged(1, 5));
    assert_eq!(next(&mut subscription).await, message(1, "after"));
    assert_eq!(next(&mut subscription).await, lagged(2, 1), "a gap at the end is told too");
    assert_eq!(subscription.try_recv(), None);
}

#[tokio::test]
async fn a_subscription_is_bounded_in_bytes() {
    let (_world, buses) = World::with(1, BusLimits { subscriber_bytes: 100, ..limits() });
    let topic = buses[0].topic("t").unwrap();
    let mut subscription = topic.subscribe().await;
    for _ in 0..3 {
        let _ = topic.publish(text("x".repeat(60))).unwrap();
    }
    assert!(matches!(next(&mut subscription).await, Event::Message { .. }));
    assert_eq!(next(&mut subscription).await, lagged(1, 2));
    let _ = topic.publish(text("x".repeat(200))).unwrap();
    assert!(matches!(next(&mut subscription).await, Event::Message { .. }), "one message always fits");
}

#[tokio::test]
async fn a_subscription_that_is_not_read_costs_another_of_its_process_nothing() {
    let (_world, buses) = World::with(2, BusLimits { subscriber_messages: 8, ..limits() });
    let mut read = buses[0].topic("t").unwrap().subscribe().await;
    let mut unread = buses[0].topic("t").unwrap().subscribe().await;
    let topic = buses[1].topic("t").unwrap();
    for number in 0..100 {
        assert!(!topic.publish(text(number)).unwrap().is_lagging());
        assert_eq!(next(&mut read).await, message(2, number));
    }
    for number in 0..8 {
        assert_eq!(next(&mut unread).await, message(2, number));
    }
    assert_eq!(next(&mut unread).await, lagged(2, 92));
}

#[tokio::test]
async fn a_publisher_can_wait_for_room() {
    let (_world, buses) = World::with(2, narrow());
    let mut subscription = buses[1].topic("t").unwrap().subscribe().await;
    let topic = buses[0].topic("t").unwrap();
    let publishing = tokio::spawn(async move {
        for _ in 0..5000 {
            if topic.publish(text("x".repeat(1000))).unwrap().is_lagging() {
                panic!("it waited for room");
            }
            topic.room().await;
        }
    });
    for _ in 0..5000 {
        assert_eq!(next(&mut subscription).await, message(1, "x".repeat(1000)));
    }
    publishing.await.unwrap();
    assert_eq!(id(1), buses[0].me());
}

/// So long that half of a queue has room for all messages that are read at once.
fn numbered(number: u32) -> multi_node_bus::Payload {
    text(format!("{number:>64}"))
}

/// Publishes numbers, and waits for room as a program does that wants nobody to miss any.
async fn publish_with_room(topic: &multi_node_bus::RawTopic, numbers: std::ops::Range<u32>) {
    for number in numbers {
        assert!(!topic.publish(numbered(number)).unwrap().is_lagging());
        if number % 256 == 0 {
            topic.room().await;
        }
    }
}

/// Time stands still while something can be done, so the pauses are the same on each machine.
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_pauses_misses_nothing_while_the_publisher_waits_for_room() {
    const MESSAGES: u32 = 100_000;
    let (_world, buses) = World::of(2);
    let mut subscription = buses[1].topic("t").unwrap().subscribe().await;
    let topic = buses[0].topic("t").unwrap();
    let publishing = tokio::spawn(async move { publish_with_room(&topic, 0..MESSAGES).await });
    for number in 0..MESSAGES {
        assert_eq!(next(&mut subscription).await, message(1, format!("{number:>64}")));
        if number % 1024 == 0 {
            sleep(Duration::from_millis(3)).await;
        }
    }
    publishing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_stops_delays_another_of_its_process_once() {
    const MESSAGES: u32 = 100_000;
    let (_world, buses) = World::of(2);
    let topic = buses[0].topic("t").unwrap();
    let mut stops = buses[1].topic("t").unwrap().subscribe().await;
    let mut reads = buses[1].topic("t").unwrap().subscribe().await;
    let begin = Instant::now();
    let publishing = tokio::spawn(async move { publish_with_room(&topic, 0..MESSAGES).await });
    for number in 0..MESSAGES {
        assert_eq!(next(&mut reads).await, message(1, format!("{number:>64}")));
        if number < MESSAGES / 2 {
            assert_eq!(next(&mut stops).await, message(1, format!("{number:>64}")));
        }
    }
    publishing.await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(60), "{:?}", begin.elapsed());
}
