//! Codec: what is written is read again, and no bytes make the decoder panic or read beyond them.

use multi_node_fleet::id::{NodeId, Slot};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::remote::RemoteProcess;

const MOST: usize = 1000;

fn any_node() -> impl Strategy<Value = NodeId> {
    prop_oneof![
        Just(NodeId::MASTER),
        Just(NodeId::PRIMARY),
        Just(NodeId::GATEWAY),
        any::<u64>().prop_map(NodeId::remote),
        (1..1000u64).prop_map(NodeId::node)
    ]
}

fn any_head() -> impl Strategy<Value = Head> {
    (any::<u8>(), any::<u8>(), any::<u32>(), any::<u64>()).prop_map(|(kind, flags, channel, seq)| Head {
        kind,
        flags,
        channel,
        seq,
    })
}

#[test]
fn a_header_is_18_bytes_little_endian() {
    let mut bytes = Vec::new();
    append(Head::new(Kind::Message).flags(3).channel(0x0102_0304).seq(0x0506), &[b"a", b"bc"], &mut bytes);
    assert_eq!(bytes, *b"\x03\0\0\0\x08\x03\x04\x03\x02\x01\x06\x05\0\0\0\0\0\0abc");
}

#[test]
fn a_process_of_another_machine_is_named_by_19_bytes_and_its_machine() {
    let process = RemoteProcess { machine: "a1".to_owned(), epoch: 0x0201, number: 7, slot: Some(Slot(3)) };
    assert_eq!(encode_remote(&process), *b"\x01\x02\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x03\0\x02a1");
    let master = RemoteProcess { slot: None, ..process };
    assert_eq!(encode_remote(&master)[16..18], [255, 255]);
}

#[test]
fn kinds_have_their_numbers() {
    assert_eq!(Kind::known(0), None);
    assert_eq!(Kind::known(23), None);
    for number in 1..23 {
        assert_eq!(Kind::known(number).unwrap() as u8, number);
    }
}

#[test]
fn a_hello_says_what_is_wrong() {
    let hello = Hello::new(NodeId::node(3), 7, 100);
    assert_eq!(Hello::accept(&hello.encode(), NodeId::node(3)), Ok(hello));
    let (expected, found) = (NodeId::node(4), NodeId::node(3));
    assert_eq!(Hello::accept(&hello.encode(), expected), Err(HelloError::OtherNode { expected, found }));
    let later = Hello { oldest: 2, newest: 5, ..hello };
    assert_eq!(Hello::accept(&later.encode(), found), Err(HelloError::Version { oldest: 2, newest: 5 }));
    assert_eq!(Hello::accept(&hello.encode()[..27], found), Err(HelloError::NotABus));
    let mut longer = hello.encode().to_vec();
    longer.push(9);
    assert_eq!(Hello::accept(&longer, found), Ok(hello), "a later version appends");
}

proptest! {
    #[test]
    fn frames_survive_in_pieces(frames in vec((any_head(), vec(any::<u8>(), 0..300)), 0..8), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        frames.iter().for_each(|(head, body)| append(*head, &[body], &mut bytes));
        let cut = cut.index(bytes.len() + 1);
        let (mut at, mut read) = (0, Vec::new());
        for end in [cut, bytes.len()] {
            while let Some(frame) = decode(&bytes[at..end], MOST).unwrap() {
                at += frame.length();
                read.push((frame.head, frame.body.to_vec()));
            }
        }
        prop_assert_eq!(at, bytes.len());
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn no_bytes_harm_the_decoders(bytes in vec(any::<u8>(), 0..2000)) {
        if let Ok(Some(frame)) = decode(&bytes, MOST) {
            prop_assert!(frame.length() <= bytes.len());
            prop_assert!(frame.body.len() <= MOST);
        }
        let _ = decode_request(&bytes);
        let _ = decode_failure(&bytes);
        let _ = decode_needs(&bytes);
        let _ = decode_item(&bytes);
        let _ = decode_remote(&bytes);
        let _ = Hello::accept(&bytes, NodeId::MASTER);
    }

    #[test]
    fn bodies_survive(
        node in any_node(), seq in any::<u64>(), name in "\\PC{0,40}", payload in vec(any::<u8>(), 0..50),
        most in any::<u32>(), most_bytes in any::<u32>(), before in vec((any_node(), any::<u64>()), 0..5),
    ) {
        let mut request = encode_request_head(seq, &name);
        request.extend(&payload);
        prop_assert_eq!(decode_request(&request), Ok((seq, name.as_str(), &payload[..])));
        prop_assert_eq!(decode_failure(&encode_failure(3, &name)), Ok((3, name.clone())));
        let mut item = encode_item(seq, node).to_vec();
        item.extend(&payload);
        prop_assert_eq!(decode_item(&item), Ok((seq, node, &payload[..])));
        let slot = u16::try_from(most_bytes).ok().filter(|slot| *slot < u16::MAX).map(Slot);
        let process = RemoteProcess { machine: name.clone(), epoch: seq, number: most.into(), slot };
        let mut remote = encode_remote(&process);
        remote.extend(&payload);
        prop_assert_eq!(decode_remote(&remote), Ok((process, &payload[..])));
        let needs = Needs { most, most_bytes, before };
        prop_assert_eq!(decode_needs(&encode_needs(&needs)), Ok(needs));
    }
}

#[test]
fn a_large_body_is_refused_before_it_is_read() {
    let header = Head::new(Kind::Message).encode(MOST + 1);
    assert_eq!(decode(&header, MOST), Err(FrameError::TooLarge { length: MOST + 1, most: MOST }));
    assert_eq!(decode(&Head::new(Kind::Message).encode(MOST), MOST), Ok(None));
    assert_eq!(decode(&header[..17], MOST), Ok(None));
}
