//! The bytes between the two ends of a stream, little endian.
//!
//! ```text
//! frame    version u8 | kind u8 | 1 if the sender has opened the stream, else 0 | number u64 | what the kind says
//! answer   version u8 | 0, limit u64; or the code of a reset
//! ```
//!
//! A frame may come from anybody: one that is none is an error, and no length in it is believed.

use bytes::Bytes;

use super::StreamReset;

/// Frames of another version are refused.
const VERSION: u8 = 1;

/// How many bytes a frame has at most beside the stream's.
pub(super) const HEAD: usize = 19;

const OPEN: u8 = 1;
const DATA: u8 = 2;
const END: u8 = 3;
const LIMIT: u8 = 4;
const RESET: u8 = 5;

/// What one end sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A new stream, in which the other end may send this number of bytes.
    Open { limit: u64 },
    /// Bytes, and how many came before them.
    Data { at: u64, bytes: Bytes },
    /// No bytes follow. This is their number.
    End { at: u64 },
    /// The other end may send this number of bytes in all. It is a sign of life too.
    Limit { limit: u64 },
    /// The stream has ended.
    Reset(StreamReset),
}

/// What the other end answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is taken. This number of bytes may be sent in all.
    Taken { limit: u64 },
    /// The stream has ended, or there is none.
    Reset(StreamReset),
}

/// Which of the streams between two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Number {
    /// Whether the sender of the frame has opened it.
    pub(super) by_sender: bool,
    /// The opener's own number, which it uses once.
    pub(super) number: u64,
}

impl Frame {
    /// Where its bytes begin, if it has any.
    pub(super) fn begin(&self) -> Option<u64> {
        match self {
            Frame::Data { at, .. } => Some(*at),
            _ => None,
        }
    }

    pub(super) fn encode(&self, of: Number) -> Bytes {
        let (kind, fixed, rest) = match self {
            Frame::Open { limit } => (OPEN, Some(*limit), &[][..]),
            Frame::Data { at, bytes } => (DATA, Some(*at), &bytes[..]),
            Frame::End { at } => (END, Some(*at), &[][..]),
            Frame::Limit { limit } => (LIMIT, Some(*limit), &[][..]),
            Frame::Reset(reset) => (RESET, None, &[reset.code()][..]),
        };
        let mut frame = Vec::with_capacity(HEAD + rest.len());
        frame.extend_from_slice(&[VERSION, kind, of.by_sender.into()]);
        frame.extend_from_slice(&of.number.to_le_bytes());
        frame.extend(fixed.iter().flat_map(|number| number.to_le_bytes()));
        frame.extend_from_slice(rest);
        frame.into()
    }

    /// Reads a frame, whose bytes it shares. `None`: it is none.
    pub(super) fn decode(frame: &Bytes) -> Option<(Number, Frame)> {
        let ([VERSION, kind, by_sender @ (0 | 1)], rest) = frame.split_first_chunk()? else { return None };
        let (number, rest) = number(rest)?;
        let of = Number { by_sender: *by_sender == 1, number };
        if let (RESET, [code]) = (*kind, rest) {
            return Some((of, Frame::Reset(StreamReset::from_code(*code))));
        }
        let (fixed, rest) = self::number(rest)?;
        let frame = match *kind {
            OPEN if rest.is_empty() => Frame::Open { limit: fixed },
            DATA if !rest.is_empty() => Frame::Data { at: fixed, bytes: frame.slice_ref(rest) },
            END if rest.is_empty() => Frame::End { at: fixed },
            LIMIT if rest.is_empty() => Frame::Limit { limit: fixed },
            _ => return None,
        };
        Some((of, frame))
    }
}

impl Answer {
    pub(super) fn encode(self) -> Bytes {
        let mut answer = vec![VERSION];
        match self {
            Answer::Taken { limit } => {
                answer.push(0);
                answer.extend_from_slice(&limit.to_le_bytes());
            }
            Answer::Reset(reset) => answer.push(reset.code()),
        }
        answer.into()
    }

    pub(super) fn decode(answer: &[u8]) -> Option<Answer> {
        let ([VERSION, code], rest) = answer.split_first_chunk()? else { return None };
        match (*code, rest) {
            (0, rest) => number(rest).filter(|(_, rest)| rest.is_empty()).map(|(limit, _)| Answer::Taken { limit }),
            (code, []) => Some(Answer::Reset(StreamReset::from_code(code))),
            _ => None,
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const FIRST: Number = Number { by_sender: true, number: 0x0201 };

    fn any_frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            any::<u64>().prop_map(|limit| Frame::Open { limit }),
            (any::<u64>(), vec(any::<u8>(), 1..50)).prop_map(|(at, bytes)| Frame::Data { at, bytes: bytes.into() }),
            any::<u64>().prop_map(|at| Frame::End { at }),
            any::<u64>().prop_map(|limit| Frame::Limit { limit }),
            (1..13u8).prop_map(|code| Frame::Reset(StreamReset::from_code(code))),
        ]
    }

    #[test]
    fn what_releases_have_said() {
        let begun = |kind: u8| [&[1, kind, 1][..], b"\x01\x02\0\0\0\0\0\0"].concat();
        let six = b"\x06\0\0\0\0\0\0\0";
        let said = [
            (Frame::Open { limit: 6 }, [&begun(1)[..], six].concat()),
            (Frame::Data { at: 6, bytes: Bytes::from_static(b"hi") }, [&begun(2)[..], six, b"hi"].concat()),
            (Frame::End { at: 6 }, [&begun(3)[..], six].concat()),
            (Frame::Limit { limit: 6 }, [&begun(4)[..], six].concat()),
            (Frame::Reset(StreamReset::Dropped), [&begun(5)[..], b"\x03"].concat()),
        ];
        for (frame, bytes) in said {
            assert_eq!(frame.encode(FIRST), bytes);
            assert_eq!(Frame::decode(&bytes.into()), Some((FIRST, frame)));
        }
        assert_eq!(Answer::Taken { limit: 6 }.encode(), [&[1, 0][..], six].concat());
        assert_eq!(Answer::Reset(StreamReset::NobodyAccepts).encode(), [1, 1].as_slice());
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let good = Frame::End { at: 6 }.encode(FIRST);
        for (at, byte) in [(0, 2), (1, 9), (2, 2)] {
            let mut bad = good.to_vec();
            bad[at] = byte;
            assert_eq!(Frame::decode(&bad.into()), None, "byte {at}");
        }
        assert_eq!(Frame::decode(&good.slice(..good.len() - 1)), None, "cut");
        assert_eq!(Frame::decode(&[&good[..], b"x"].concat().into()), None, "too long");
        assert_eq!(Frame::decode(&Frame::Data { at: 1, bytes: Bytes::new() }.encode(FIRST)), None, "no bytes");
        for bad in [&b""[..], b"\x01", b"\x02\x03", b"\x01\0\x01", b"\x01\x03\0"] {
            assert_eq!(Answer::decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(frame in any_frame(), by_sender: bool, number: u64, limit: u64, code in 1..13u8) {
            let of = Number { by_sender, number };
            prop_assert_eq!(Frame::decode(&frame.encode(of)), Some((of, frame)));
            for answer in [Answer::Taken { limit }, Answer::Reset(StreamReset::from_code(code))] {
                prop_assert_eq!(Answer::decode(&answer.encode()), Some(answer));
            }
        }

        #[test]
        fn no_bytes_harm_the_decoders(bytes in vec(any::<u8>(), 0..40), kind in 0..7u8) {
            let begun = [&[1, kind, 1][..], &bytes].concat();
            for bytes in [bytes, begun] {
                let _ = Answer::decode(&bytes);
                let _ = Frame::decode(&bytes.into());
            }
        }
    }
}
