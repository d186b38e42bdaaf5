#![no_main]

use libfuzzer_sys::fuzz_target;
use multi_node::Json;
use multi_node_fuzz::decode_all;

fuzz_target!(|data: &[u8]| decode_all::<Json, serde_json::Value>(data));
