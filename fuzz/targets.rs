//! What the fuzz targets do with their bytes: each reads all that it can, and gives the number of whole messages.
//!
//! cargo-fuzz runs them by `fuzz_targets/`, and the tests of the crate `multi-node-process` by `src/fuzz_tests.rs`. What they enter comes from the
//! module around this file, since it is private to the crate there.

use std::collections::BTreeMap;

use bytes::BytesMut;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Format, Json, MessagePack, decode_control, decode_step};

/// Small, so that the fuzzer meets it.
const LIMIT: usize = 256;
/// No format's frame has more bytes around its message.
const AROUND: usize = 6;

/// One field of every kind that the decoder treats in its own way.
#[derive(Debug, Deserialize)]
#[allow(dead_code)]
enum Message {
    Unit,
    Number(i64),
    Tuple(u8, f32),
    Fields { name: String, bytes: Vec<u8>, inner: Option<Box<Message>>, map: BTreeMap<String, u64> },
}

/// What a node says is hostile input to its master: the same bytes in one piece, and cut where the first of them says.
pub fn control_frames(data: &[u8]) -> usize {
    let cut = data.first().map_or(0, |first| usize::from(*first)).min(data.len());
    let whole = decode_control(&[data]);
    assert_eq!(decode_control(&[&data[..cut], &data[cut..]]), whole, "pieces make a difference");
    whole
}

/// Messages of a program's own type, and of any.
pub fn typed_frames(data: &[u8]) -> usize {
    decode_all::<MessagePack, serde_json::Value>(data);
    decode_all::<MessagePack, Message>(data)
}

/// Messages of the library of 2010.
pub fn json_frames(data: &[u8]) -> usize {
    decode_all::<Json, serde_json::Value>(data)
}

/// Reads all messages as a stream would that gets the bytes in chunks of the size that the first byte names.
///
/// # Panics
///
/// When a step makes no progress, or more waits in the buffer than one unfinished frame.
fn decode_all<F: Format, T: DeserializeOwned>(data: &[u8]) -> usize {
    let Some((&size, bytes)) = data.split_first() else { return 0 };
    let (mut buffer, mut scanned, mut whole) = (BytesMut::new(), 0, 0);
    for chunk in bytes.chunks(usize::from(size).max(1)) {
        buffer.extend_from_slice(chunk);
        if !take_whole_frames::<F, T>(&mut buffer, &mut scanned, &mut whole) {
            return whole;
        }
        assert!(buffer.len() < LIMIT + AROUND, "{} bytes wait", buffer.len());
    }
    whole
}

/// False when the stream has ended with an error.
fn take_whole_frames<F: Format, T: DeserializeOwned>(
    buffer: &mut BytesMut,
    scanned: &mut usize,
    whole: &mut usize,
) -> bool {
    loop {
        let before = buffer.len();
        match decode_step::<F, T>(buffer, LIMIT, scanned) {
            Ok(None) => return true,
            Err(error) if error.ends_stream() => return false,
            Ok(Some(_)) => *whole += 1,
            Err(_) => {}
        }
        assert!(buffer.len() < before, "a step without progress");
    }
}
