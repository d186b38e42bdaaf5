//! What nobody uses costs nothing, and only subscribed peers get bytes.

use std::time::Duration;

use multi_node_bus::{Bus, BusLimits};

use crate::world::{World, id, lagged, limits, message, next, text, until, within};

#[tokio::test]
async fn what_nobody_uses_makes_no_link() {
    let (world, buses) = World::of(3);
    let topic = buses[0].topic("t").unwrap();
    let published = topic.publish(text("nobody")).unwrap();
    buses[1].respond("r", |request| async { Ok::<_, String>(request.payload) }).unwrap();
    assert_eq!((published.sent, published.missed, world.made()), (0, 0, 0));
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 3, "the test's own three forwarders");
    let _subscription = buses[0].topic("t").unwrap().subscribe().await;
    assert_eq!(world.made(), 2, "to the two others, and not between them");
}

#[tokio::test]
async fn only_subscribed_peers_get_bytes() {
    let (_world, buses) = World::of(3);
    let topic = buses[0].topic("t").unwrap();
    let mut subscribed = buses[1].topic("t").unwrap().subscribe().await;
    let _other = buses[2].topic("other").unwrap().subscribe().await;
    assert_eq!(topic.publish(text("a")).unwrap().sent, 1);
    assert_eq!(next(&mut subscribed).await, message(1, "a"));
    assert_eq!(buses[2].counts().received, 0);
}

#[tokio::test]
async fn the_last_subscription_of_a_process_unsubscribes() {
    let (_world, buses) = World::of(2);
    let topic = buses[0].topic("t").unwrap();
    let (first, second) =
        (buses[1].topic("t").unwrap().subscribe().await, buses[1].topic("t").unwrap().subscribe().await);
    drop(first);
    assert_eq!(topic.publish(text("a")).unwrap().sent, 1);
    drop(second);
    until("nobody is subscribed", || topic.publish(text("b")).unwrap().sent == 0).await;
    let mut again = buses[1].topic("t").unwrap().subscribe().await;
    assert_eq!(topic.publish(text("c")).unwrap().sent, 1);
    assert_eq!(next(&mut again).await, message(1, "c"), "what was published between is no gap");
}

#[tokio::test]
async fn subscribing_and_unsubscribing_at_once_shows_no_gap_and_no_old_message() {
    let (_world, buses) = World::of(2);
    let topic = buses[0].topic("t").unwrap();
    let subscriber = buses[1].topic("t").unwrap();
    drop(subscriber.subscribe().await);
    for round in 0..200 {
        drop(subscriber.subscribe().now());
        let _ = topic.publish(text("old")).unwrap();
        let mut subscription = subscriber.subscribe().await;
        let _ = topic.publish(text(round)).unwrap();
        assert_eq!(next(&mut subscription).await, message(1, round));
    }
}

#[tokio::test]
async fn a_process_that_joins_later_is_subscribed_at_too() {
    let (world, buses) = World::of(1);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().await;
    let later = world.add(2, limits());
    let topic = later.topic("t").unwrap();
    until("the newcomer has a subscriber", || topic.publish(text("x")).unwrap().sent == 1).await;
    assert_eq!(next(&mut subscription).await, message(2, "x"));
}

#[tokio::test]
async fn peers_that_do_not_confirm_are_named_after_the_deadline() {
    let (world, _) = World::of(0);
    let peer = world.add_raw(7);
    let bus = world.add(1, BusLimits { subscribe_timeout: Duration::from_millis(50), ..limits() });
    let subscription = within("the subscription", async { bus.topic("t").unwrap().subscribe().await }).await;
    assert_eq!(subscription.settled().await.unconfirmed, [id(7)]);
    // It is asked all the same, as soon as it can be.
    let mut link = peer.link().await;
    link.open();
    assert_eq!(link.expect(3).await.body, b"t");
}

#[tokio::test]
async fn processes_without_the_bus_are_reported_and_not_awaited() {
    let bus = Bus::new(id(1), limits());
    bus.joined(id(2), None, false);
    bus.members_complete();
    let topic = bus.topic("t").unwrap();
    let subscription = within("the subscription", async { topic.subscribe().await }).await;
    assert_eq!(subscription.settled().await.unconfirmed, []);
    assert_eq!(topic.publish(text("a")).unwrap().without_bus, 1);
    bus.gone(id(2));
    assert_eq!(topic.publish(text("a")).unwrap().without_bus, 0);
}

#[tokio::test]
async fn a_process_that_ends_is_awaited_no_longer() {
    let (world, buses) = World::of(1);
    let peer = world.add_raw(7);
    let topic = buses[0].topic("t").unwrap();
    let subscribing = topic.subscribe();
    drop(peer.link().await);
    buses[0].gone(id(7));
    let subscription = within("the subscription", async { subscribing.await }).await;
    assert_eq!(subscription.settled().await.unconfirmed, []);
}

#[tokio::test]
async fn settled_waits_for_all_topics_so_far() {
    let (_world, buses) = World::of(3);
    let (a, b) = (buses[0].topic("a").unwrap().subscribe().now(), buses[0].topic("b").unwrap().subscribe().now());
    let settled = within("settled", buses[0].settled()).await;
    assert_eq!(settled.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(buses[1].topic("a").unwrap().publish(text("x")).unwrap().sent, 1);
    assert_eq!(buses[2].topic("b").unwrap().publish(text("x")).unwrap().sent, 1);
    drop((a, b));
}

#[tokio::test]
async fn a_peer_with_a_smaller_bound_misses_large_messages_and_keeps_its_link() {
    let world = World::default();
    let small = world.add(1, BusLimits { message_bytes: 100, ..limits() });
    let large = world.add(2, limits());
    let mut subscription = small.topic("t").unwrap().subscribe().await;
    let topic = large.topic("t").unwrap();
    assert!(topic.publish(text("x".repeat(101))).unwrap().is_lagging());
    assert_eq!(next(&mut subscription).await, lagged(2, 1));
    assert!(!topic.publish(text("x")).unwrap().is_lagging());
    assert_eq!(next(&mut subscription).await, message(2, "x"));
    assert_eq!(small.counts().bad_frames, 0);
}

#[tokio::test]
async fn a_topic_tells_who_gets_its_messages() {
    let (world, buses) = World::of(3);
    let topic = buses[0].topic("t").unwrap();
    assert_eq!(topic.subscribers(), []);
    let came = topic.subscribers_changed();
    let subscription = buses[1].topic("t").unwrap().subscribe().await;
    within("the first", came).await;
    assert_eq!(topic.subscribers(), [id(2)]);
    let _third = buses[2].topic("t").unwrap().subscribe().await;
    let went = topic.subscribers_changed();
    drop(subscription);
    within("the end of a subscription", went).await;
    assert_eq!(topic.subscribers(), [id(3)]);
    let went = topic.subscribers_changed();
    world.kill(3);
    within("the end of a process", went).await;
    assert_eq!(topic.subscribers(), []);
}
