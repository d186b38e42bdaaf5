#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use multi_node::MessagePack;
use multi_node_fuzz::decode_all;
use serde::Deserialize;

/// One field of every kind that the decoder treats in its own way.
#[derive(Debug, Deserialize)]
#[allow(dead_code)]
enum Message {
    Unit,
    Number(i64),
    Tuple(u8, f32),
    Fields { name: String, bytes: Vec<u8>, inner: Option<Box<Message>>, map: BTreeMap<String, u64> },
}

fuzz_target!(|data: &[u8]| {
    decode_all::<MessagePack, Message>(data);
    decode_all::<MessagePack, serde_json::Value>(data);
});
