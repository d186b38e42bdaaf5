//! The last messages of a topic, for those who come later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use multi_node_bus::{Bus, BusLimits, Event, History, RawTopic, Subscription};
use multi_node_fleet::id::NodeId;

use crate::world::{RawLink, World, id, lagged, limits, message, next, text, until, within};

const ITEM: u8 = 11;
const END: u8 = 12;

/// The topic `t` with a history.
fn topic(bus: &Bus, most: usize) -> RawTopic {
    bus.topic("t").unwrap().history(most)
}

async fn history(subscription: &Subscription) -> History {
    within("the topic's start", subscription.settled()).await.history.unwrap()
}

#[tokio::test]
async fn later_subscriptions_of_a_process_begin_with_the_last_messages() {
    let bus = Bus::new(id(1), limits());
    bus.members_complete();
    let topic = topic(&bus, 3);
    let early = topic.subscribe().await;
    for number in 0..5 {
        let _ = topic.publish(text(number)).unwrap();
    }
    let mut late = topic.subscribe().await;
    for number in 2..5 {
        assert_eq!(next(&mut late).await, message(1, number));
    }
    assert_eq!(late.try_recv(), None);
    assert_eq!(history(&early).await, History::Nobody);
}

#[tokio::test]
async fn a_newcomer_begins_with_the_last_messages_of_all_publishers() {
    let (world, buses) = World::of(2);
    let topics = [topic(&buses[0], 4), topic(&buses[1], 4)];
    let mut kept = topics[0].subscribe().await;
    within("both have settled", buses[1].settled()).await;
    for number in 0..6u64 {
        let by = usize::try_from(number % 2).unwrap();
        let _ = topics[by].publish(text(number)).unwrap();
        assert_eq!(next(&mut kept).await, message(number % 2 + 1, number));
    }
    let newcomer = world.add(3, limits());
    let mut subscription = topic(&newcomer, 10).subscribe().await;
    assert_eq!(history(&subscription).await, History::From(vec![id(1)]), "the longest-living, and its last four");
    for number in 2..6u64 {
        assert_eq!(next(&mut subscription).await, message(number % 2 + 1, number));
    }
    let _ = topics[1].publish(text("live")).unwrap();
    assert_eq!(next(&mut subscription).await, message(2, "live"));
    let mut second = newcomer.topic("t").unwrap().subscribe().await;
    assert_eq!(next(&mut second).await, message(1, 2), "it has the older messages too");
}

#[tokio::test]
async fn the_history_outlives_each_single_process() {
    let (world, buses) = World::of(1);
    let first = topic(&buses[0], 5);
    let _ = first.publish(text("from the first")).unwrap();
    for number in 2..6 {
        let newcomer = world.add(number, limits());
        let mut subscription = topic(&newcomer, 5).subscribe().await;
        assert_eq!(next(&mut subscription).await, message(1, "from the first"));
        world.kill(number - 1);
        // Its handles keep the topic.
        std::mem::forget(subscription);
    }
}

#[tokio::test]
async fn all_can_start_at_once() {
    for _ in 0..20 {
        let (_world, buses) = World::of(5);
        let subscriptions: Vec<_> = buses.iter().map(|bus| topic(bus, 10).subscribe().now()).collect();
        let start = tokio::time::Instant::now();
        for bus in &buses {
            within("settled", bus.settled()).await;
        }
        assert!(start.elapsed() < Duration::from_secs(1), "nobody waits for another's timeout: {:?}", start.elapsed());
        for subscription in &subscriptions {
            assert_ne!(history(subscription).await, History::TimedOut);
            assert_eq!(subscription.settled().await.unconfirmed, []);
        }
    }
}

#[tokio::test]
async fn what_is_published_while_all_start_reaches_all_that_are_subscribed_later() {
    let (world, buses) = World::of(3);
    let topics: Vec<_> = buses.iter().map(|bus| topic(bus, 10)).collect();
    let _ = topics[2].publish(text("early")).unwrap();
    for bus in &buses {
        within("settled", bus.settled()).await;
    }
    let mut here = topics[2].subscribe().await;
    assert_eq!(next(&mut here).await, message(3, "early"));
    let mut elsewhere = topics[0].subscribe().await;
    assert_eq!(next(&mut elsewhere).await, message(3, "early"), "asked for when it started");
    let newcomer = world.add(4, limits());
    let mut subscription = topic(&newcomer, 10).subscribe().await;
    assert_eq!(next(&mut subscription).await, message(3, "early"));
}

/// A raw peer at which bus `t` subscribes, and which has confirmed.
async fn confirmed(link: &mut RawLink, next: u64) {
    let asked = link.expect(3).await;
    let mut body = asked.channel.to_le_bytes().to_vec();
    body.extend(asked.seq.to_le_bytes());
    link.send(5, 0, 9, next, &body);
}

#[tokio::test]
async fn if_the_one_that_is_asked_dies_the_next_is_asked() {
    let world = World::default();
    let holder = world.add(2, limits());
    let topic_there = topic(&holder, 5);
    let _ = topic_there.publish(text("kept")).unwrap();
    within("settled", holder.settled()).await;
    let raw = world.add_raw(1);
    let newcomer = world.add(3, limits());
    let subscribing = topic(&newcomer, 5).subscribe();
    let mut link = loop {
        // The holder subscribes at the raw peer too.
        let mut link = raw.link().await;
        link.open();
        confirmed(&mut link, 1).await;
        let asks = tokio::time::timeout(Duration::from_millis(300), link.expect(10)).await;
        if asks.is_ok() {
            break link;
        }
        std::mem::forget(link);
    };
    link.send(8, 1, 9, 1, b"its last message");
    link.close();
    newcomer.gone(id(1));
    let mut subscription = within("the subscription", async { subscribing.await }).await;
    assert_eq!(history(&subscription).await, History::From(vec![id(2)]));
    assert_eq!(next(&mut subscription).await, message(2, "kept"));
    assert_eq!(next(&mut subscription).await, message(1, "its last message"));
}

#[tokio::test]
async fn one_that_does_not_keep_it_is_passed_over() {
    let (world, buses) = World::of(2);
    let _without = buses[0].topic("t").unwrap().subscribe().await;
    let kept = topic(&buses[1], 5);
    within("settled", buses[1].settled()).await;
    let _ = kept.publish(text("kept")).unwrap();
    let newcomer = world.add(3, limits());
    let mut subscription = topic(&newcomer, 5).subscribe().await;
    assert_eq!(history(&subscription).await, History::From(vec![id(2)]));
    assert_eq!(next(&mut subscription).await, message(2, "kept"));
}

#[tokio::test]
async fn without_an_answer_the_topic_goes_on_and_says_so() {
    let world = World::default();
    let raw = world.add_raw(7);
    let bus = world.add(1, BusLimits { history_timeout: Duration::from_millis(80), ..limits() });
    let subscribing = topic(&bus, 5).subscribe();
    let mut link = raw.link().await;
    link.open();
    confirmed(&mut link, 1).await;
    link.send(8, 1, 9, 1, b"meanwhile");
    let mut subscription = within("the subscription", async { subscribing.await }).await;
    assert_eq!(history(&subscription).await, History::TimedOut);
    assert_eq!(bus.counts().histories_missed, 1);
    assert_eq!(next(&mut subscription).await, message(7, "meanwhile"));
}

fn needs(most: u32, before: &[(u64, u64)]) -> Vec<u8> {
    let mut body = most.to_le_bytes().to_vec();
    body.extend((1u32 << 20).to_le_bytes());
    for (node, seq) in before {
        body.extend(node.to_le_bytes());
        body.extend(seq.to_le_bytes());
    }
    body
}

/// The answer to a question: publisher and number of each message, and how the answer is.
async fn answer(link: &mut RawLink, number: u64) -> (Vec<(u64, u64)>, u8) {
    let mut items = Vec::new();
    within("the answer", async {
        loop {
            let frame = link.next().await.expect("the link is open");
            match frame.kind {
                ITEM if frame.body[..8] == number.to_le_bytes() => {
                    items.push((u64::from_le_bytes(frame.body[8..16].try_into().unwrap()), frame.seq));
                }
                END if frame.seq == number => return (items, frame.flags),
                _ => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn who_is_asked_answers_when_it_has_all_before_the_askers_confirmations() {
    let world = World::default();
    let bus = world.add(1, BusLimits { history_timeout: Duration::from_secs(80), ..limits() });
    let kept = topic(&bus, 10);
    let (publisher, asker) = (world.add_raw(7), world.add_raw(8));
    let mut asking = asker.link().await;
    asking.open();
    let mut publishing = publisher.link().await;
    publishing.open();
    confirmed(&mut publishing, 1).await;
    (1..=3).for_each(|seq| publishing.send(8, 1, 9, seq, b"x"));
    until("three have arrived", || bus.counts().received == 3).await;
    let _ = kept.publish(text("own")).unwrap();
    asking.send(3, 0, 40, 1, b"t");
    asking.send(10, 0, 40, 5, &needs(10, &[(7, 5), (1, 2)]));
    asking.send(10, 0, 40, 6, &needs(2, &[(7, 3), (1, 2)]));
    assert_eq!(answer(&mut asking, 6).await.0, [(7, 2), (1, 1)], "at once, since it has these");
    publishing.send(8, 1, 9, 4, b"x");
    publishing.send(8, 1, 9, 5, b"x");
    assert_eq!(
        answer(&mut asking, 5).await.0,
        [(7, 1), (7, 2), (7, 3), (1, 1), (7, 4)],
        "not the fifth, which it gets itself"
    );
    asking.send(10, 0, 40, 7, &needs(10, &[(7, 100)]));
    tokio::task::yield_now().await;
    publishing.close();
    bus.gone(id(7));
    assert_eq!(answer(&mut asking, 7).await.0.len(), 6, "what a publisher that is gone had sent is all there is");
}

#[tokio::test]
async fn a_history_is_bounded_in_bytes_from_the_newest_back() {
    let world = World::default();
    let bus = world.add(1, limits());
    let kept = topic(&bus, 100);
    for number in 0..50 {
        let _ = kept.publish(text(format!("{number:0>1000}"))).unwrap();
    }
    let newcomer = world.add(2, BusLimits { history_bytes: 10_500, ..limits() });
    let mut subscription = topic(&newcomer, 100).subscribe().await;
    for number in 40..50 {
        assert_eq!(next(&mut subscription).await, message(1, format!("{number:0>1000}")));
    }
    assert_eq!(subscription.try_recv(), None);
}

#[tokio::test]
async fn holes_in_a_history_are_reported_in_their_place() {
    let world = World::default();
    let bus = world.add(1, limits());
    let peer = world.add_raw(7);
    let subscribing = topic(&bus, 10).subscribe();
    let mut link = peer.link().await;
    link.open();
    confirmed(&mut link, 20).await;
    let question = link.expect(10).await.seq;
    for (from, seq) in [(7, 10), (5, 3), (7, 11), (7, 14), (5, 4), (7, 25)] {
        history_item(&mut link, question, from, seq);
    }
    link.send(END, 0, 9, question, &[]);
    link.send(8, 1, 9, 20, b"20");
    let mut subscription = within("the subscription", async { subscribing.await }).await;
    let expected = [
        message(7, 10),
        message(5, 3),
        message(7, 11),
        lagged(7, 2),
        message(7, 14),
        message(5, 4),
        // 25 comes over the link.
        lagged(7, 5),
        message(7, 20),
    ];
    for event in expected {
        assert_eq!(next(&mut subscription).await, event);
    }
    let mut late = bus.topic("t").unwrap().subscribe().await;
    for event in [message(7, 10), message(5, 3), message(7, 11), lagged(7, 2)] {
        assert_eq!(next(&mut late).await, event);
    }
}

/// A bus whose topic `t` is just starting: a raw peer has confirmed and sent these messages, and holds the history back.
async fn starting(most: usize, sent: std::ops::Range<u64>) -> (Bus, RawTopic, RawLink, u64) {
    let world = World::default();
    let bus = world.add(1, limits());
    let peer = world.add_raw(7);
    let kept = topic(&bus, most);
    let mut link = peer.link().await;
    link.open();
    confirmed(&mut link, sent.start).await;
    let question = link.expect(10).await.seq;
    let count = sent.end - sent.start;
    sent.for_each(|seq| link.send(8, 1, 9, seq, seq.to_string().as_bytes()));
    until("they have arrived", || bus.counts().received == count).await;
    (bus, kept, link, question)
}

fn history_item(link: &mut RawLink, question: u64, from: u64, seq: u64) {
    let named = [question.to_le_bytes(), from.to_le_bytes()].concat();
    link.send(ITEM, 1, 9, seq, &[&named, seq.to_string().as_bytes()].concat());
}

#[tokio::test]
async fn a_subscription_that_comes_before_the_history_gets_what_came_before_it() {
    let (_bus, kept, mut link, question) = starting(10, 20..22).await;
    let _ = kept.publish(text("own")).unwrap();
    let mut subscription = kept.subscribe().now();
    link.send(8, 1, 9, 22, b"22");
    for seq in [17, 18] {
        history_item(&mut link, question, 7, seq);
    }
    link.send(END, 0, 9, question, &[]);
    let expected = [
        message(7, 17),
        message(7, 18),
        lagged(7, 1),
        message(7, 20),
        message(7, 21),
        message(1, "own"),
        message(7, 22),
    ];
    for event in expected {
        assert_eq!(next(&mut subscription).await, event);
    }
}

#[tokio::test]
async fn a_subscription_waits_for_no_history_when_as_much_has_come() {
    let (_bus, kept, mut link, question) = starting(2, 20..24).await;
    let mut subscription = kept.subscribe().now();
    for seq in [22, 23] {
        assert_eq!(next(&mut subscription).await, message(7, seq));
    }
    history_item(&mut link, question, 7, 19);
    link.send(END, 0, 9, question, &[]);
    link.send(8, 1, 9, 24, b"24");
    assert_eq!(next(&mut subscription).await, message(7, 24));
}

/// What a subscription knows of each publisher: the number of its next message.
#[derive(Default)]
struct Known {
    next: BTreeMap<NodeId, u64>,
    messages: u64,
}

impl Known {
    fn see(&mut self, event: &Event) {
        match event {
            // Before the first message it says that some came after the start of the subscription.
            Event::Lagged { from, missed } => drop(self.next.get_mut(from).map(|next| *next += missed)),
            Event::Message { from, payload } => {
                let number: u64 = payload.as_text().parse().unwrap();
                let next = self.next.entry(*from).or_insert(number);
                assert_eq!(number, *next, "of {from}: once, in order, and no gap untold");
                *next += 1;
                self.messages += 1;
            }
        }
    }
}

/// Publishes numbers until `stop`, and returns how many.
fn publish_until(topic: RawTopic, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(async move {
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            let _ = topic.publish(text(number)).unwrap();
            number += 1;
            if number % 8 == 0 {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        number
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_newcomer_sees_each_message_once_whoever_publishes_meanwhile() {
    let (world, buses) = World::of(3);
    let stop = Arc::new(AtomicBool::new(false));
    let topics: Vec<_> = buses.iter().map(|bus| topic(bus, 50)).collect();
    within("settled", buses[0].settled()).await;
    let publishing: Vec<_> = topics.iter().map(|topic| publish_until(topic.clone(), stop.clone())).collect();
    let mut newcomers = Vec::new();
    for number in 4..12 {
        let bus = world.add(number, limits());
        let topic = topic(&bus, 50);
        let mut subscription = within("the subscription", async { topic.subscribe().await }).await;
        let mut known = Known::default();
        for _ in 0..200 {
            known.see(&next(&mut subscription).await);
        }
        newcomers.push((bus, topic, subscription, known));
        if number == 8 {
            // The one that is asked first ends.
            world.kill(1);
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut published = Vec::new();
    for (number, task) in (1..).zip(publishing) {
        published.push((id(number), task.await.unwrap()));
    }
    for (bus, _topic, subscription, known) in &mut newcomers {
        for (from, count) in published.iter().filter(|(from, _)| *from != id(1)) {
            while known.next[from] < *count {
                known.see(&next(subscription).await);
            }
        }
        assert!(known.messages >= 200);
        assert_eq!(bus.counts().missed + bus.counts().dropped_for_subscribers, 0, "and none was missed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_newcomer_sees_each_message_once_over_links_that_break() {
    for round in 0..6u64 {
        let (world, buses) = World::of(2);
        let stop = Arc::new(AtomicBool::new(false));
        let topics: Vec<_> = buses.iter().map(|bus| topic(bus, 20)).collect();
        within("settled", buses[0].settled()).await;
        let publishing: Vec<_> = topics.iter().map(|topic| publish_until(topic.clone(), stop.clone())).collect();
        let bus = world.add(3, limits());
        let topic = topic(&bus, 20);
        let subscribing = topic.subscribe();
        until("a link is open", || bus.peers().iter().any(|peer| peer.linked)).await;
        tokio::time::sleep(Duration::from_micros(round * 150)).await;
        for number in 1..=2 {
            if bus.peers().iter().any(|peer| peer.id == id(number) && peer.linked) {
                world.cut(number, 3);
            }
        }
        let mut subscription = within("the subscription", async { subscribing.await }).await;
        let mut known = Known::default();
        for _ in 0..300 {
            known.see(&next(&mut subscription).await);
        }
        stop.store(true, Ordering::SeqCst);
        for task in publishing {
            task.await.unwrap();
        }
    }
}
