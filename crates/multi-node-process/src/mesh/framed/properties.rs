use bytes::BytesMut;
use futures_util::StreamExt;
use proptest::{collection::vec, prelude::*};
use serde::{Deserialize, Serialize};

use super::{format::encode_step, tests::Chunks, *};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Number(i64),
    Text(String),
    Many { parts: Vec<Value>, flag: Option<bool> },
}

fn value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Nothing), any::<i64>().prop_map(Value::Number), any::<String>().prop_map(Value::Text)];
    leaf.prop_recursive(3, 24, 6, |inner| {
        (vec(inner, 0..6), any::<Option<bool>>()).prop_map(|(parts, flag)| Value::Many { parts, flag })
    })
}

/// Cuts `bytes` at the places that `cuts` names, counted modulo the length.
fn chunks(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    places.sort_unstable();
    places.dedup();
    places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

/// What a reader makes of `bytes` when they come in these chunks.
fn read<F: Format>(bytes: &[u8], cuts: &[usize]) -> Vec<Result<Value, FrameError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let chunks = chunks(bytes, cuts);
    runtime.block_on(async { FramedRead::<_, Value, F>::new(Chunks(chunks.into())).collect().await })
}

fn round_trip<F: Format>(values: &[Value], cuts: &[usize]) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    for value in values {
        encode_step::<F, _>(value, DEFAULT_FRAME_LIMIT, &mut bytes).expect("small");
    }
    let read: Vec<Value> = read::<F>(&bytes, cuts).into_iter().map(|item| item.expect("a value")).collect();
    prop_assert_eq!(read, values);
    Ok(())
}

/// Bytes that begin as frames do, so that the decoder gets past the header, and then go astray.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => vec(any::<u8>(), 0..20),
        2 => (0u32..24).prop_map(|size| [&[0xc1, 1][..], &size.to_be_bytes()].concat()),
        1 => any::<u32>().prop_map(|size| [&[0xc1, 1][..], &size.to_be_bytes()].concat()),
        2 => "[\\[\\]{}\":,a1]{0,12}".prop_map(|text| [&[0], text.as_bytes(), &[0xff]].concat()),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Feeds the decoder as the reader does, and watches what it keeps.
fn decode_all<F: Format>(bytes: &[u8], cuts: &[usize], limit: usize) -> Result<(), TestCaseError> {
    const HEADER_AT_MOST: usize = 6;
    let (mut buffer, mut scanned) = (BytesMut::new(), 0);
    for chunk in chunks(bytes, cuts) {
        buffer.extend_from_slice(&chunk);
        loop {
            let before = buffer.len();
            match decode_step::<F, Value>(&mut buffer, limit, &mut scanned) {
                Ok(None) => break,
                Err(error) if error.ends_stream() => return Ok(()),
                Ok(Some(_)) | Err(_) => prop_assert!(buffer.len() < before, "a step without progress"),
            }
        }
        prop_assert!(buffer.len() < limit + HEADER_AT_MOST, "{} bytes wait under a limit of {limit}", buffer.len());
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_was_sent_arrives_however_it_is_cut(values in vec(value(), 0..8), cuts in vec(any::<usize>(), 0..20)) {
        round_trip::<MessagePack>(&values, &cuts)?;
        round_trip::<Json>(&values, &cuts)?;
    }

    #[test]
    fn bytes_never_panic_and_never_pile_up(bytes in hostile(), cuts in vec(any::<usize>(), 0..12), limit in 0usize..40) {
        decode_all::<MessagePack>(&bytes, &cuts, limit)?;
        decode_all::<Json>(&bytes, &cuts, limit)?;
    }

    #[test]
    fn chunks_do_not_change_what_is_read(bytes in hostile(), cuts in vec(any::<usize>(), 0..12)) {
        let show = |items: Vec<Result<Value, FrameError>>| items.iter().map(|item| match item {
            Ok(value) => format!("{value:?}"),
            // A foreign byte is reported as soon as it is seen, so how much is shown of what follows depends on the read.
            Err(FrameError::Foreign { .. }) => "foreign".to_owned(),
            Err(error) => error.to_string(),
        }).collect::<Vec<_>>();
        prop_assert_eq!(show(read::<MessagePack>(&bytes, &cuts)), show(read::<MessagePack>(&bytes, &[])));
        prop_assert_eq!(show(read::<Json>(&bytes, &cuts)), show(read::<Json>(&bytes, &[])));
    }
}
