//! The queue of a subscription: nothing is lost without a word, and the order of each publisher stays.

use std::collections::BTreeMap;

use multi_node_fleet::id::NodeId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::payload::Payload;

fn message(from: u64, number: u64) -> Event {
    Event::Message { from: NodeId::node(from), payload: Payload::text(number.to_string()) }
}

#[derive(Clone, Debug)]
enum Step {
    /// A publisher's next message.
    Push(u64),
    /// Messages of a publisher that never arrived.
    Lag(u64, u64),
    Pop(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4u64).prop_map(Step::Push),
        1 => (1..4u64, 1..5u64).prop_map(|(from, missed)| Step::Lag(from, missed)),
        2 => (0..6usize).prop_map(Step::Pop),
    ]
}

/// What a reader knows of each publisher: the next number.
fn read(known: &mut BTreeMap<NodeId, u64>, event: &Event) {
    let next = known.entry(event.from()).or_insert(0);
    match event {
        Event::Lagged { missed, .. } => *next += missed,
        Event::Message { payload, .. } => {
            assert_eq!(payload.as_text(), next.to_string(), "in order, and each gap was told before");
            *next += 1;
        }
    }
}

proptest! {
    #[test]
    fn each_message_comes_once_in_order_or_is_counted_in_its_place(steps in vec(any_step(), 0..200)) {
        let limits = BusLimits { subscriber_messages: 8, subscriber_bytes: 10, ..BusLimits::default() };
        let queue = Queue::new(&limits, false);
        let (mut sent, mut known) = (BTreeMap::new(), BTreeMap::new());
        let mut events = Vec::new();
        for step in steps {
            match step {
                Step::Push(from) => {
                    let number = sent.entry(NodeId::node(from)).or_insert(0);
                    queue.push([message(from, *number)]);
                    *number += 1;
                }
                Step::Lag(from, missed) => {
                    *sent.entry(NodeId::node(from)).or_insert(0) += missed;
                    queue.push([Event::Lagged { from: NodeId::node(from), missed }]);
                }
                Step::Pop(most) => drop(queue.pop_many(most, &mut events)),
            }
            let state = queue.lock();
            let messages = state.events.iter().filter(|event| matches!(event, Event::Message { .. })).count();
            prop_assert!(messages <= 8 && (state.bytes <= 10 || messages == 1));
            prop_assert!(state.events.len() <= 16, "a gap before each message at most");
        }
        while let Some(event) = queue.pop() {
            events.push(event);
        }
        events.iter().for_each(|event| read(&mut known, event));
        prop_assert_eq!(known, sent);
        prop_assert_eq!(queue.lock().bytes, 0);
    }
}

#[test]
fn a_long_history_leaves_all_room_to_what_follows() {
    let limits = BusLimits { subscriber_messages: 4, subscriber_bytes: 4, ..BusLimits::default() };
    let queue = Queue::new(&limits, true);
    queue.release((0..100).map(|number| message(1, number)));
    let pushed = queue.push((100..104).map(|_| message(2, 7)));
    assert_eq!(pushed.dropped, 0);
    assert_eq!(queue.push([message(2, 7)]).dropped, 1);
    let mut events = Vec::new();
    assert_eq!(queue.pop_many(200, &mut events), 105, "all, and what was missed");
}

#[test]
fn a_held_queue_gives_the_history_first() {
    let queue = Queue::new(&BusLimits::default(), true);
    queue.push([message(1, 2), message(1, 3)]);
    assert_eq!(queue.pop(), None);
    queue.release([message(1, 0), message(1, 1)]);
    queue.release([message(1, 9)]);
    let mut events = Vec::new();
    assert_eq!(queue.pop_many(10, &mut events), 4);
    assert_eq!(events, (0..4).map(|number| message(1, number)).collect::<Vec<_>>());
}

/// A queue that is more than half full.
fn crowded() -> Queue {
    let queue = Queue::new(&BusLimits { subscriber_messages: 8, ..BusLimits::default() }, false);
    queue.push((0..5).map(|number| message(1, number)));
    queue
}

/// Its subscriber takes messages while others come.
fn take(queue: &Queue, messages: u64) {
    for number in 0..messages {
        queue.pop().unwrap();
        queue.push([message(1, number)]);
    }
}

async fn wait(queue: &Queue) -> Duration {
    let begin = Instant::now();
    queue.relieved().await;
    begin.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_is_waited_for_once_and_then_as_long_as_the_messages_are_worth_that_it_takes() {
    let (queue, within) = (crowded(), |least, most| Duration::from_millis(least)..Duration::from_millis(most));
    assert!(within(50, 52).contains(&wait(&queue).await));
    assert_eq!(wait(&queue).await, Duration::ZERO, "it takes nothing");
    take(&queue, 400);
    assert!(within(2, 4).contains(&wait(&queue).await));
    assert_eq!(wait(&queue).await, Duration::ZERO);
    take(&queue, 1_000_000);
    assert!(within(50, 52).contains(&wait(&queue).await), "never longer");
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_when_the_queue_is_half_empty() {
    let (queue, begin) = (std::sync::Arc::new(crowded()), Instant::now());
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.relieved().await }
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(!waiting.is_finished());
    queue.pop().unwrap();
    waiting.await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(7), "{:?}", begin.elapsed());
}
