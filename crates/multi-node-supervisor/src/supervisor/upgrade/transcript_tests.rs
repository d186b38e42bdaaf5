//! What masters have left since the first release, byte by byte: a trial's state and a resume's, of two nodes. Later releases go on from
//! them, or change the form. The test `upgrade_state` of `multi-node-it` records them.

use std::fs::File;

use super::state::{Preamble, State};
use crate::control::{Encoded, from_message_pack, to_message_pack};
use crate::supervisor::workload::Linked;

const RECORDED: [(&str, &[u8]); 2] = [
    ("preflight", include_bytes!("../../../tests/transcripts/preflight.state")),
    ("resume", include_bytes!("../../../tests/transcripts/resume.state")),
];

fn read(bytes: &[u8]) -> State {
    let preamble: Preamble = from_message_pack(bytes).expect("it begins well");
    preamble.check().expect("a form that is read");
    // Descriptors are not recorded. There are more than are named.
    let null = || File::open("/dev/null").expect("/dev/null").into();
    Encoded { bytes: bytes.to_vec().into(), fds: (0..64).map(|_| null()).collect() }.decode().expect("readable")
}

/// The state with another field in front, as a later release may write it.
fn with_a_later_field(bytes: &[u8]) -> Vec<u8> {
    const FIELD: &[u8] = b"\xa4mood\x81\xa2is\x93\x01\xc0\xa4good";
    // A map of more than 15 fields (MessagePack, map 16).
    assert_eq!(bytes[0], 0xde);
    let count = u16::from_be_bytes([bytes[1], bytes[2]]) + 1;
    [&[0xde], &count.to_be_bytes()[..], FIELD, &bytes[3..]].concat()
}

#[test]
fn what_was_left_is_gone_on_from_by_every_later_release() {
    for (name, bytes) in RECORDED {
        let nodes = if name == "resume" { 2 } else { 0 };
        for bytes in [bytes.to_vec(), with_a_later_field(bytes)] {
            let state = read(&bytes);
            assert_eq!(state.check(&[vec!["127.0.0.1:0".to_owned()]], &Linked), Ok(()), "{name}");
            assert_eq!(
                (state.sockets.len(), state.images.is_empty(), state.rested.map_or(0, |rested| rested.members.len())),
                (1, false, nodes),
                "{name}"
            );
            assert_eq!(state.name, "fixture");
        }
    }
}

#[test]
fn another_form_is_refused_before_anything_else_is_read() {
    let later = to_message_pack(&serde_json::json!({ "form": 9, "all": "else" })).expect("MessagePack");
    let preamble: Preamble = from_message_pack(&later).expect("it begins well");
    let why = preamble.check().expect_err("another form");
    assert_eq!(why, "its state has the form 9, this release reads 3; restart the program as a whole");
    assert!(from_message_pack::<State>(&later).is_err());
}
