#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    multi_node_bus::fuzz_stream(data);
});
