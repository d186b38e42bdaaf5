#![no_main]

use libfuzzer_sys::fuzz_target;

// What a node says is hostile input to its master.
fuzz_target!(|data: &[u8]| {
    // The same bytes in one piece, and cut where the first of them says.
    multi_node::decode_control(&[data]);
    let cut = data.first().map_or(0, |first| usize::from(*first)).min(data.len());
    multi_node::decode_control(&[&data[..cut], &data[cut..]]);
});
