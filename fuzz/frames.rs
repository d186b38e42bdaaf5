//! What both targets of framed streams do with their bytes.

use bytes::BytesMut;
use multi_node::{Format, decode_step};
use serde::de::DeserializeOwned;

/// Small, so that the fuzzer meets it.
const LIMIT: usize = 256;
/// No format's frame has more bytes around its message.
const AROUND: usize = 6;

/// Reads all messages as a stream would that gets the bytes in chunks of the size that the first byte names.
///
/// # Panics
///
/// When a step makes no progress, or more waits in the buffer than one unfinished frame.
pub fn decode_all<F: Format, T: DeserializeOwned>(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else { return };
    let (mut buffer, mut scanned) = (BytesMut::new(), 0);
    for chunk in bytes.chunks(usize::from(size).max(1)) {
        buffer.extend_from_slice(chunk);
        if !take_whole_frames::<F, T>(&mut buffer, &mut scanned) {
            return;
        }
        assert!(buffer.len() < LIMIT + AROUND, "{} bytes wait", buffer.len());
    }
}

/// False when the stream has ended with an error.
fn take_whole_frames<F: Format, T: DeserializeOwned>(buffer: &mut BytesMut, scanned: &mut usize) -> bool {
    loop {
        let before = buffer.len();
        match decode_step::<F, T>(buffer, LIMIT, scanned) {
            Ok(None) => return true,
            Err(error) if error.ends_stream() => return false,
            Ok(Some(_)) | Err(_) => assert!(buffer.len() < before, "a step without progress"),
        }
    }
}
