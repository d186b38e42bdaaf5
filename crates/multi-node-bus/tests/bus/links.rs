//! Links that break, are replaced, and end.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use multi_node_bus::{Bus, BusLimits, Event, LinkWanted};

use crate::world::{World, id, lagged, limits, message, next, text, until, within};

#[tokio::test]
async fn a_broken_link_is_made_again_and_the_gap_is_reported() {
    let (world, buses) = World::of(2);
    let topic = buses[0].topic("t").unwrap();
    let mut subscription = buses[1].topic("t").unwrap().subscribe().await;
    for round in 1..7 {
        let _ = topic.publish(text("before")).unwrap();
        assert_eq!(next(&mut subscription).await, message(1, "before"));
        world.cut(1, 2);
        // Some are published while the link is broken: they are missed, and counted.
        let mut missed = 0;
        until("the link is there again", || {
            let published = topic.publish(text("again")).unwrap();
            missed += published.missed as u64;
            published.sent == 1 && buses[0].peers()[0].epoch > round
        })
        .await;
        let mut told = 0;
        let mut got = 0;
        while got == 0 || told < missed {
            match next(&mut subscription).await {
                Event::Lagged { missed, .. } => told += missed,
                Event::Message { .. } => got += 1,
            }
        }
        while subscription.try_recv().is_some() {}
    }
}

#[tokio::test]
async fn every_message_arrives_or_is_reported_over_links_that_are_cut() {
    let (world, buses) = World::of(2);
    let topic = buses[0].topic("t").unwrap();
    let mut subscription = buses[1].topic("t").unwrap().subscribe().await;
    let publishing = tokio::spawn(async move {
        for number in 0..3000u64 {
            let _ = topic.publish(text(number)).unwrap();
            if number % 500 == 50 {
                world.cut(1, 2);
            }
            tokio::task::yield_now().await;
        }
        until("the last one is sent", || topic.publish(text("end")).unwrap().sent == 1).await;
    });
    let mut expected = 0;
    loop {
        match next(&mut subscription).await {
            Event::Lagged { missed, .. } => expected += missed,
            Event::Message { payload, .. } if payload.as_text() == "end" => break,
            Event::Message { payload, .. } => {
                assert_eq!(payload.as_text(), expected.to_string());
                expected += 1;
            }
        }
    }
    assert!(expected >= 3000);
    publishing.await.unwrap();
}

#[tokio::test]
async fn a_link_that_is_cut_within_a_frame_loses_that_frame_alone() {
    let (world, buses) = World::of(1);
    let raw = world.add_raw(7);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().now();
    let mut link = raw.link().await;
    link.open();
    confirm(&mut link, 1).await;
    link.send(8, 1, 9, 1, b"whole");
    let half = crate::world::frame(8, 1, 9, 2, b"half of it");
    link.write(&half[..20]);
    link.close();
    assert_eq!(next(&mut subscription).await, message(7, "whole"));
    let mut link = raw.link().await;
    link.open();
    confirm(&mut link, 3).await;
    assert_eq!(next(&mut subscription).await, lagged(7, 1));
}

async fn confirm(link: &mut crate::world::RawLink, next: u64) {
    let asked = link.expect(3).await;
    let mut body = asked.channel.to_le_bytes().to_vec();
    body.extend(asked.seq.to_le_bytes());
    link.send(5, 0, 9, next, &body);
}

#[tokio::test]
async fn what_a_process_sent_before_its_end_is_delivered() {
    for _ in 0..20 {
        let (world, buses) = World::of(2);
        let mut subscription = buses[0].topic("t").unwrap().subscribe().await;
        let topic = buses[1].topic("t").unwrap();
        for number in 0..100 {
            assert_eq!(topic.publish(text(number)).unwrap().sent, 1);
        }
        assert!(buses[1].flush(Duration::from_secs(10)).await);
        world.kill(2);
        for number in 0..100 {
            assert_eq!(next(&mut subscription).await, message(2, number));
        }
        until("it is forgotten", || buses[0].counts().links == 0).await;
        assert!(buses[0].peers().is_empty());
    }
}

#[tokio::test]
async fn a_stream_with_an_old_epoch_or_of_a_stranger_is_dropped() {
    let bus = Bus::new(id(1), limits());
    bus.joined(id(2), None, true);
    let attach = |peer, epoch| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (bus.attach(id(peer), epoch, ours).unwrap(), theirs)
    };
    let (taken, _end) = attach(2, 5);
    assert!(taken);
    assert!(!attach(2, 5).0, "the same epoch");
    assert!(!attach(2, 4).0, "a lower one");
    assert!(!attach(3, 9).0, "no member");
    assert_eq!(bus.counts().stale_links, 3);
    let (taken, _other_end) = attach(2, 6);
    assert!(taken);
}

#[tokio::test]
async fn a_newer_link_replaces_the_old_one_after_its_last_byte() {
    let world = World::default();
    world.withhold_links();
    let (a, b) = (world.add(1, limits()), world.add(2, limits()));
    let mut subscription = a.topic("t").unwrap().subscribe().now();
    let topic = b.topic("t").unwrap();
    let mut numbers = 0..;
    for epoch in 1..50 {
        let (one, other) = UnixStream::pair().unwrap();
        assert!(a.attach(id(2), epoch, one).unwrap());
        assert!(b.attach(id(1), epoch, other).unwrap());
        until("the new link carries the topic", || {
            b.peers()[0].linked && topic.publish(text(numbers.next().unwrap())).unwrap().sent == 1
        })
        .await;
        for _ in 0..20 {
            let _ = topic.publish(text(numbers.next().unwrap())).unwrap();
        }
    }
    let last = numbers.start - 1;
    let mut expected = None;
    loop {
        match next(&mut subscription).await {
            Event::Lagged { missed, .. } => expected = expected.map(|number| number + missed),
            Event::Message { payload, .. } => {
                let number: u64 = payload.as_text().parse().unwrap();
                assert_eq!(number, expected.unwrap_or(number), "in order, without an untold gap");
                expected = Some(number + 1);
                if number == last {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_link_is_wanted_once_and_again_after_a_while() {
    let bus = Bus::new(id(1), BusLimits { link_timeout: Duration::from_millis(30), ..limits() });
    bus.joined(id(2), None, true);
    let mut wanted = bus.wanted();
    let _first = bus.topic("a").unwrap().subscribe().now();
    let _second = bus.topic("b").unwrap().subscribe().now();
    let expected = LinkWanted { peer: id(2), broken_epoch: 0 };
    assert_eq!(within("wanted", wanted.recv()).await, expected);
    let pause = tokio::time::timeout(Duration::from_millis(5), wanted.recv()).await;
    assert!(pause.is_err(), "one question at a time");
    assert_eq!(within("wanted again, since the owner may have lost it", wanted.recv()).await, expected);
}

#[tokio::test]
async fn a_peer_whose_links_break_at_once_is_asked_for_ever_more_slowly() {
    let bus = Bus::new(id(1), BusLimits { link_backoff: Duration::from_millis(4), ..BusLimits::default() });
    bus.joined(id(2), None, true);
    let mut wanted = bus.wanted();
    let _subscription = bus.topic("t").unwrap().subscribe().now();
    let start = tokio::time::Instant::now();
    for epoch in 1..=6 {
        assert_eq!(within("wanted", wanted.recv()).await, LinkWanted { peer: id(2), broken_epoch: epoch - 1 });
        let (ours, theirs) = UnixStream::pair().unwrap();
        bus.attach(id(2), epoch, ours).unwrap();
        drop(theirs);
    }
    // 8 + 16 + 32 + 64 + 128 ms.
    assert!(start.elapsed() >= Duration::from_millis(248), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_process_that_executes_itself_begins_its_sequences_anew() {
    let (world, buses) = World::of(1);
    let raw = world.add_raw(7);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().now();
    let mut link = raw.link().await;
    link.open();
    confirm(&mut link, 1000).await;
    link.send(8, 1, 9, 1000, b"old");
    assert_eq!(next(&mut subscription).await, message(7, "old"));
    link.close();
    let mut link = raw.link().await;
    link.send(1, 0, 0, 0, &crate::world::hello_body(id(7), 1, 1, 78));
    link.send(2, 0, 0, 0, &[]);
    confirm(&mut link, 1).await;
    link.send(8, 1, 9, 1, b"new");
    assert_eq!(next(&mut subscription).await, message(7, "new"));
}
