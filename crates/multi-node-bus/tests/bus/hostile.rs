//! A peer that breaks the protocol loses its own link, and harms nothing else.

use std::time::Duration;

use multi_node_bus::{Bus, LinkError};

use crate::world::{RawLink, World, frame, hello_body, id, message, next, text, until, within};

/// The bytes that a peer sends after its hello, and whether they end its link.
fn bad_frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut huge = u32::MAX.to_le_bytes().to_vec();
    huge.extend([0; 14]);
    vec![
        ("a body of 4 GiB", huge),
        ("a second hello", frame(1, 0, 0, 0, &hello_body(id(7), 1, 1, 1))),
        ("a topic without a name", frame(3, 0, 1, 1, b"")),
        ("a topic's name that is not UTF-8", frame(3, 0, 1, 1, &[0xff])),
        ("a topic's name of 256 bytes", frame(3, 0, 1, 1, &[b'n'; 256])),
        ("a confirmation that is too short", frame(5, 0, 1, 1, &[1, 2])),
        ("a question that is too short", frame(10, 0, 1, 1, &[1, 2, 3])),
        ("a history message that is too short", frame(11, 0, 1, 1, &[1])),
        ("a handler without a name", frame(13, 0, 0, 0, b"")),
        ("a request that is too short", frame(16, 0, 0, 1, &[0; 8])),
        ("a request whose name is longer than it", frame(16, 0, 0, 1, &[0, 0, 0, 0, 0, 0, 0, 0, 9, b'x'])),
        ("a failure without a code", frame(18, 0, 0, 1, &[])),
        ("two topics with one number", [frame(3, 0, 1, 1, b"a"), frame(3, 0, 1, 2, b"b")].concat()),
    ]
}

async fn raw_link(world: &World, bus: &Bus) -> (crate::world::RawPeer, RawLink) {
    let raw = world.add_raw(7);
    let _wants_links = bus.topic("wants-links").unwrap().subscribe().now();
    let link = raw.link().await;
    (raw, link)
}

#[tokio::test]
async fn bad_frames_end_their_own_link_alone() {
    for (what, bytes) in bad_frames() {
        let (world, buses) = World::of(2);
        let mut subscription = buses[0].topic("t").unwrap().subscribe().await;
        let (_raw, mut link) = raw_link(&world, &buses[0]).await;
        link.open();
        link.write(&bytes);
        link.ended().await;
        until(what, || buses[0].counts().bad_frames == 1).await;
        let error = buses[0].peers().into_iter().find(|peer| peer.id == id(7)).unwrap().last_error;
        assert!(matches!(error, Some(LinkError::Frame(_))), "{what}: {error:?}");
        let _ = buses[1].topic("t").unwrap().publish(text("x")).unwrap();
        assert_eq!(next(&mut subscription).await, message(2, "x"), "{what}");
    }
}

#[tokio::test]
async fn a_wrong_first_frame_ends_the_link() {
    let firsts = [
        ("another protocol", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("a message before the hello", frame(8, 0, 1, 1, b"x")),
        ("no magic", frame(1, 0, 0, 0, &[0; 28])),
        ("a short hello", frame(1, 0, 0, 0, b"mnbs")),
        ("another node", frame(1, 0, 0, 0, &hello_body(id(8), 1, 1, 1))),
        ("later versions only", frame(1, 0, 0, 0, &hello_body(id(7), 2, 3, 1))),
    ];
    for (what, first) in firsts {
        let (world, buses) = World::of(1);
        let (_raw, mut link) = raw_link(&world, &buses[0]).await;
        link.write(&first);
        link.ended().await;
        until(what, || buses[0].counts().bad_frames == 1).await;
        assert!(buses[0].peers()[0].last_error.as_ref().unwrap().is_bad_frame(), "{what}");
    }
}

#[tokio::test]
async fn kinds_of_later_versions_are_skipped_and_counted() {
    let (world, buses) = World::of(1);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().now();
    let (_raw, mut link) = raw_link(&world, &buses[0]).await;
    // A later hello may be longer, and say that it speaks more versions.
    let mut hello = hello_body(id(7), 1, 9, 1);
    hello.extend(b"more");
    link.send(1, 0, 0, 0, &hello);
    link.send(200, 3, 4, 5, b"from the future");
    link.send(0, 0, 0, 0, &[]);
    let asked = link.expect(3).await;
    let mut body = asked.channel.to_le_bytes().to_vec();
    body.extend(asked.seq.to_le_bytes());
    link.send(5, 0, 9, 1, &body);
    link.send(8, 1, 9, 1, b"known");
    assert_eq!(next(&mut subscription).await, message(7, "known"));
    assert_eq!(buses[0].counts().unknown_kinds, 2);
}

#[tokio::test]
async fn frames_for_what_does_not_exist_are_ignored() {
    let (world, buses) = World::of(1);
    let (_raw, mut link) = raw_link(&world, &buses[0]).await;
    link.open();
    for kind in [4, 6, 7, 8, 9, 10, 12, 17, 19] {
        link.send(kind, 0, 99, u64::MAX, &[0; 8]);
    }
    link.send(5, 0, 99, u64::MAX, &[0xff; 12]);
    link.send(11, 0, 99, u64::MAX, &[0xff; 16]);
    link.send(18, 0, 99, u64::MAX, &[9]);
    link.send(14, 0, 0, 0, b"no handler");
    link.send(16, 0, 0, 5, &[&[0xff; 8][..], &[1, b'x']].concat());
    let refusal = link.expect(18).await;
    assert_eq!((refusal.seq, refusal.body), (5, vec![1]), "no handler");
    assert_eq!(buses[0].counts().bad_frames, 0);
}

#[tokio::test]
async fn sequence_numbers_at_their_end_do_no_harm() {
    let (world, buses) = World::of(1);
    let mut subscription = buses[0].topic("t").unwrap().subscribe().now();
    let (_raw, mut link) = raw_link(&world, &buses[0]).await;
    link.open();
    let asked = link.expect(3).await;
    let mut body = asked.channel.to_le_bytes().to_vec();
    body.extend(asked.seq.to_le_bytes());
    link.send(5, 0, 9, 0, &body);
    link.send(8, 1, 9, u64::MAX, b"last");
    link.send(9, 0, 9, u64::MAX, &[]);
    assert_eq!(next(&mut subscription).await, crate::world::lagged(7, u64::MAX));
    assert_eq!(next(&mut subscription).await, message(7, "last"));
}

#[tokio::test]
async fn a_peer_that_subscribes_to_too_much_is_refused() {
    let limits = multi_node_bus::BusLimits { topics: 3, ..crate::world::limits() };
    let (world, buses) = World::with(1, limits);
    let (_raw, mut link) = raw_link(&world, &buses[0]).await;
    link.open();
    for number in 0..4u8 {
        link.send(3, 0, u32::from(number), 1, &[b'a' + number]);
    }
    assert_eq!(link.expect(7).await.channel, 3);
    // The process itself still has its own.
    buses[0].topic("mine").unwrap();
}

#[tokio::test]
async fn a_peer_with_too_many_handlers_loses_its_link() {
    let limits = multi_node_bus::BusLimits { handlers: 3, ..crate::world::limits() };
    let (world, buses) = World::with(1, limits);
    let (_raw, mut link) = raw_link(&world, &buses[0]).await;
    link.open();
    (0..4u8).for_each(|number| link.send(13, 0, 0, 0, &[b'a' + number]));
    link.ended().await;
    until("it is counted", || buses[0].counts().bad_frames == 1).await;
}

#[tokio::test]
async fn a_peer_that_asks_and_never_reads_loses_its_link() {
    let limits = multi_node_bus::BusLimits { peer_bytes: 64 << 10, ..crate::world::limits() };
    let (world, buses) = World::with(1, limits);
    let (_raw, mut link) = raw_link(&world, &buses[0]).await;
    link.open();
    let asking = tokio::task::spawn_blocking(move || {
        for number in 0..200_000 {
            link.send(16, 0, 0, number, &[&[0xff; 8][..], &[1, b'x']].concat());
        }
    });
    until("the link is cut", || buses[0].counts().links_broken >= 1).await;
    within("the writer of the test ends", asking).await.unwrap();
}

#[tokio::test]
async fn a_hostile_peer_does_not_spin_this_process() {
    let (world, _) = World::of(0);
    let bus = world.add(1, multi_node_bus::BusLimits::default());
    let raw = world.add_raw(7);
    let _subscription = bus.topic("t").unwrap().subscribe().now();
    let until = tokio::time::Instant::now() + Duration::from_millis(300);
    let mut links = 0;
    while let Ok(mut link) = tokio::time::timeout_at(until, raw.link()).await {
        links += 1;
        link.write(b"garbage that is no frame");
    }
    // Immediately, then after 40, 80, 160 ms.
    assert!((2..=5).contains(&links), "{links}");
}
