//! Hostile frames for one end of a stream.

use bytes::Bytes;

use super::frame::{Answer, Frame};
use super::rules::{Stream, WINDOW};

/// Takes the bytes as frames of the other end, each behind its length in one byte, and as an answer. After each frame half of what is
/// ready is read. Gives how many were frames.
///
/// # Panics
///
/// When an end holds more than its window.
#[doc(hidden)]
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "cargo-fuzz enters here"))]
pub fn fuzz_stream(data: &[u8]) -> usize {
    let (mut stream, mut rest, mut frames) = (Stream::new(WINDOW, usize::MAX), data, 0);
    let _ = Answer::decode(data);
    while let Some((length, bytes)) = rest.split_first() {
        let (frame, others) = bytes.split_at(usize::from(*length).min(bytes.len()));
        rest = others;
        let Some((of, frame)) = Frame::decode(&Bytes::copy_from_slice(frame)) else { continue };
        assert_eq!(Frame::decode(&frame.encode(of)), Some((of, frame.clone())), "it is read as it was written");
        frames += 1;
        stream.asked(frame);
        assert!(stream.held() as u64 <= WINDOW, "more than the window");
        let half = stream.ready().len().div_ceil(2);
        stream.taken(half);
    }
    frames
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::frame::Number;
    use super::*;

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let place = prop_oneof![0..40u64, Just(WINDOW), any::<u64>()];
        (1..6u8, place, vec(any::<u8>(), 0..30)).prop_map(|(kind, at, bytes)| {
            let of = Number { by_sender: false, number: 0 };
            let mut frame = Frame::Data { at, bytes: bytes.into() }.encode(of).to_vec();
            frame[1] = kind;
            frame.insert(0, u8::try_from(frame.len()).unwrap_or(u8::MAX));
            frame
        })
    }

    proptest! {
        #[test]
        fn no_frames_harm_an_end(frames in vec(prop_oneof![9 => any_frame(), 1 => vec(any::<u8>(), 0..20)], 0..60)) {
            fuzz_stream(&frames.concat());
        }
    }

    #[test]
    fn frames_are_counted() {
        let of = Number { by_sender: false, number: 0 };
        let frame = Frame::Data { at: 0, bytes: Bytes::from_static(b"ab") }.encode(of);
        assert_eq!(fuzz_stream(&[&[u8::try_from(frame.len()).unwrap()][..], &frame, b"\x02xx"].concat()), 1);
    }
}
