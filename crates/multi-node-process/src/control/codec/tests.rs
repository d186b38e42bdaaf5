use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::control::message::{Join, ToMaster, ToNode};
use crate::id::NodeId;
use crate::mesh::PeerInfo;

fn frame(message: ToNode) -> (BytesMut, Vec<OwnedFd>) {
    let mut bytes = BytesMut::new();
    let fds = encode(&message, &mut bytes).expect("a message of ours");
    drop(message);
    (bytes, fds.into_iter().filter_map(Arc::into_inner).collect())
}

/// A frame that announces this number of descriptors, whatever its message has.
fn announcing(message: &impl Serialize, fds: u8) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(message, &mut bytes).expect("short");
    bytes[4] = fds;
    bytes
}

fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").expect("/dev/null").into()
}

fn joined() -> ToNode {
    let peer = PeerInfo::new(NodeId::node(7), None, 4711);
    ToNode::Joined {
        peers: vec![Join {
            peer,
            greets: false,
            bus: false,
            stream: Some(null().into()),
            handoff: Some(null().into()),
        }],
    }
}

/// Whether the first process's two streams are there.
fn streams(peers: Vec<Join>) -> (bool, bool) {
    let Join { stream, handoff, .. } = peers.into_iter().next().expect("a peer");
    let is_there = |fd: Option<Fd>| fd.expect("it was named").into_owned().is_ok();
    (is_there(stream), is_there(handoff))
}

#[test]
fn messages_announce_their_descriptors_once_their_headers_are_there() {
    let (mut bytes, _) =
        frame(ToNode::Drain { within: Duration::from_secs(3), successors: Vec::new(), closing: false });
    let second = bytes.len();
    bytes.extend_from_slice(&frame(joined()).0);
    let third = bytes.len();
    bytes.extend_from_slice(&frame(joined()).0);
    for cut in 0..bytes.len() {
        let mut decoder = Decoder::default();
        decoder.bytes.extend_from_slice(&bytes[..cut]);
        decoder.fds.extend([null(), null(), null(), null()]);
        while decoder.bytes.len() >= HEADER && decoder.next_frame().unwrap_or_default().is_some() {}
        let begun = [0, second, third].into_iter().filter(|start| *start < cut).max();
        let says = begun.is_none_or(|start| cut - start >= HEADER || [second, third].contains(&cut));
        let still = [second, third].into_iter().filter(|start| *start >= cut).count() * 2;
        assert_eq!(decoder.announced(&bytes[cut..]), says.then_some(still), "cut at {cut}");
    }
    assert_eq!(Decoder::default().announced(&bytes[..second + HEADER - 1]), None, "half a header");
    assert_eq!(Decoder::default().announced(&[]), Some(0));
}

#[test]
fn a_message_split_anywhere_is_read_whole() {
    let (bytes, _) = frame(ToNode::Drain { within: Duration::from_secs(3), successors: Vec::new(), closing: false });
    for cut in 0..bytes.len() {
        let mut decoder = Decoder::default();
        decoder.bytes.extend_from_slice(&bytes[..cut]);
        assert!(decoder.next::<ToNode>().expect("nothing wrong yet").is_none(), "cut at {cut}");
        assert_eq!(decoder.end().is_ok(), cut == 0, "cut at {cut}");
        decoder.bytes.extend_from_slice(&bytes[cut..]);
        let message = decoder.next::<ToNode>().expect("whole").expect("whole");
        assert!(matches!(message, ToNode::Drain { within, .. } if within.as_secs() == 3));
        assert!(decoder.end().is_ok());
    }
}

#[test]
fn descriptors_go_to_the_message_that_carried_them() {
    let mut decoder = Decoder::default();
    for _ in 0..2 {
        let (bytes, fds) = frame(joined());
        decoder.bytes.extend_from_slice(&bytes);
        decoder.fds.extend(fds);
    }
    for _ in 0..2 {
        let Ok(Some(ToNode::Joined { peers })) = decoder.next() else { panic!("a whole message") };
        assert_eq!(streams(peers), (true, true));
    }
    assert!(decoder.fds.is_empty());
}

#[test]
fn too_long_is_refused_before_it_arrives() {
    let begins = |length: usize| {
        let mut decoder = Decoder::default();
        decoder.bytes.extend_from_slice(&u32::try_from(length).expect("it fits").to_be_bytes());
        decoder.bytes.extend_from_slice(&[0]);
        decoder.next::<ToNode>()
    };
    assert!(matches!(begins(LONGEST), Ok(None)), "the rest has to arrive");
    for length in [LONGEST + 1, u32::MAX as usize] {
        assert!(matches!(begins(length), Err(Malformed::TooLong { length: of }) if of == length));
    }
}

#[test]
fn descriptors_of_one_further_frame_may_come_early() {
    let announces = |fds: usize| {
        let mut decoder = Decoder::default();
        decoder.bytes.extend_from_slice(&[0, 0, 0, 9, 2]);
        decoder.fds.extend((0..fds).map(|_| null()));
        decoder.next::<ToNode>()
    };
    assert!(matches!(announces(2 + 255), Ok(None)));
    assert!(matches!(announces(2 + 255 + 1), Err(Malformed::FdCount { arrived: 258, expected: 2 })));
}

#[test]
fn missing_and_surplus_descriptors_are_refused() {
    let (bytes, _) = frame(joined());
    let mut decoder = Decoder { bytes, ..Decoder::default() };
    assert!(matches!(decoder.next::<ToNode>(), Err(Malformed::FdCount { arrived: 0, expected: 2 })));

    let (mut bytes, fds) = frame(joined());
    bytes[4] = 1;
    let mut decoder = Decoder { bytes, fds: fds.into(), ..Decoder::default() };
    let refused = decoder.next::<ToNode>();
    assert!(matches!(refused, Err(Malformed::Fds(Mismatch::Count { arrived: 1, named: 2 }))), "{refused:?}");

    let mut decoder = Decoder::default();
    decoder.fds.extend((0..300).map(|_| null()));
    assert!(matches!(decoder.next::<ToNode>(), Err(Malformed::FdCount { .. })));
}

#[test]
fn a_message_whose_descriptors_were_lost_is_read_without_them() {
    let mut decoder = Decoder::default();
    for lost in [false, true] {
        let (bytes, mut fds) = frame(joined());
        fds.truncate(if lost { 1 } else { 2 });
        decoder.take(&bytes, Received { bytes: bytes.len(), fds, lost });
    }
    let next = |decoder: &mut Decoder| match decoder.next() {
        Ok(Some(ToNode::Joined { peers })) => streams(peers),
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&mut decoder), (true, true), "the first came whole");
    assert_eq!(next(&mut decoder), (false, false));
    let (bytes, fds) = frame(joined());
    decoder.take(&bytes, Received { bytes: bytes.len(), fds, lost: false });
    assert_eq!(next(&mut decoder), (true, true), "the next is as if nothing had been");
}

#[test]
fn a_node_cannot_send_descriptors() {
    let bytes = announcing(&ToMaster::Beat, 1);
    let mut decoder = Decoder { bytes, fds: [null()].into(), ..Decoder::default() };
    let refused = decoder.next::<ToMaster>();
    assert!(matches!(refused, Err(Malformed::Fds(Mismatch::Count { arrived: 1, named: 0 }))), "{refused:?}");
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Later {
        Hello { versions: crate::control::Versions, addresses: Vec<Vec<String>>, mood: &'static str },
    }
    let mut bytes = BytesMut::new();
    let versions = crate::control::Versions { lowest: 9, highest: 12 };
    encode(&Later::Hello { versions, addresses: Vec::new(), mood: "good" }, &mut bytes).expect("short");
    let mut decoder = Decoder { bytes, ..Decoder::default() };
    let Ok(Some(ToMaster::Hello { versions: read, .. })) = decoder.next() else { panic!("readable") };
    assert_eq!(read, versions);
}

#[test]
fn kinds_of_a_later_release_are_skipped_and_counted_with_their_descriptors() {
    let count = Arc::new(AtomicU64::new(0));
    let mut decoder = Decoder { skipped: Skipped::counted(&count), ..Decoder::default() };
    for later in [json!("later"), json!({ "later": { "mood": "good", "list": [1, 2] } })] {
        decoder.bytes.extend_from_slice(&announcing(&later, 2));
        decoder.fds.extend([null(), null()]);
    }
    let (bytes, fds) = frame(joined());
    decoder.bytes.extend_from_slice(&bytes);
    decoder.fds.extend(fds);
    let Ok(Some(ToNode::Joined { peers })) = decoder.next() else { panic!("the message behind them") };
    assert_eq!(streams(peers), (true, true), "with its own descriptors");
    assert_eq!(count.load(Relaxed), 2);
    assert!(decoder.fds.is_empty() && decoder.next::<ToNode>().expect("nothing more").is_none());
}

#[test]
fn a_known_kind_that_cannot_be_read_is_malformed() {
    let mut decoder = Decoder::default();
    encode(&json!({ "failed": { "why": 7 } }), &mut decoder.bytes).expect("short");
    assert!(matches!(decoder.next::<ToMaster>(), Err(Malformed::Unreadable(_))));
}

#[test]
fn the_longest_message_is_written_and_one_longer_is_not() {
    // MessagePack puts five bytes before a text of this length.
    let encoded = |length: usize| encode(&"x".repeat(length - 5), &mut BytesMut::new());
    assert!(encoded(LONGEST).is_ok());
    assert!(matches!(encoded(LONGEST + 1), Err(Malformed::TooLong { length }) if length == LONGEST + 1));
}

#[test]
fn what_a_decoder_holds_is_not_shown() {
    let decoder = Decoder { bytes: BytesMut::from(&b"secret"[..]), ..Decoder::default() };
    let shown = format!("{decoder:?}");
    assert!(shown.starts_with("Decoder {") && !shown.contains("secret"), "{shown}");
}

#[test]
fn the_fuzz_target_counts_messages_until_the_first_that_is_refused() {
    let mut bytes = BytesMut::new();
    encode(&ToMaster::Beat, &mut bytes).expect("short");
    encode(&ToMaster::Beat, &mut bytes).expect("short");
    let (head, rest) = bytes.split_at(3);
    assert_eq!(decode_control(&[head, rest, &[0xff; HEADER]]), 2);
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic_and_never_pile_up(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32)) {
        let mut decoder = Decoder::default();
        for chunk in chunks {
            decoder.bytes.extend_from_slice(&chunk);
            loop {
                match decoder.next::<ToMaster>() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            prop_assert!(decoder.bytes.len() <= HEADER + LONGEST);
        }
    }
}
