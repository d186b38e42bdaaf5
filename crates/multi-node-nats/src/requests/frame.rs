//! The bytes of questions and answers. They begin as all [frames](crate::frame).
//!
//! ```text
//! question   asker's number u64, slot u16 | asked number u64, or all ones | remaining µs u64 | length u8, name | content u8 | payload
//! answer     content u8 | payload
//! failure    code u8 | text
//! cancel     nothing: the subject of the answer says which question
//! ```

use bytes::Bytes;
use multi_node_bus::{ContentType, Failure, Payload};

use crate::frame::{Begun, FrameError, Publisher, Sender, begun, publisher};

const QUESTION: u8 = 16;
const ANSWER: u8 = 17;
const FAILURE: u8 = 18;
const CANCEL: u8 = 19;

/// No process has this number.
const ANY: u64 = u64::MAX;

/// How much of the text of a failure is read.
const LONGEST_TEXT: usize = 4096;

/// What a process of another machine asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The machine that asks, and its start.
    pub(super) machine: String,
    pub(super) epoch: u64,
    pub(super) by: Publisher,
    /// The number of the process that is asked; `None`: any that has the handler.
    pub(super) to: Option<u64>,
    /// How many microseconds the answer may take.
    pub(super) remaining: u64,
    pub(super) name: String,
    pub(super) payload: Payload,
}

/// What comes back.
pub(super) type Answer = Result<Payload, Failure>;

impl Question {
    pub(super) fn encode(&self) -> Bytes {
        let Question { machine, epoch, by, to, remaining, name, payload } = self;
        let mut bytes = Sender { machine: machine.clone(), epoch: *epoch }.begin(QUESTION);
        bytes.extend(publisher(*by));
        bytes.extend_from_slice(&to.unwrap_or(ANY).to_le_bytes());
        bytes.extend_from_slice(&remaining.to_le_bytes());
        // Names have at most 255 bytes.
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name.as_bytes());
        with_payload(bytes, payload)
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Question, FrameError> {
        let Begun { kind, machine, epoch, mut rest } = begun(bytes)?;
        if kind != QUESTION {
            return Err(FrameError::Malformed);
        }
        let by = rest.publisher()?;
        let to = Some(u64::from_le_bytes(rest.array()?)).filter(|number| *number != ANY);
        let remaining = u64::from_le_bytes(rest.array()?);
        let name = rest.topic()?;
        let [content] = rest.array()?;
        let payload = Payload { content: ContentType::from_flags(content), bytes: rest.end() };
        Ok(Question { machine, epoch, by, to, remaining, name, payload })
    }
}

pub(super) fn encode_answer(me: &Sender, answer: &Answer) -> Bytes {
    match answer {
        Ok(payload) => with_payload(me.begin(ANSWER), payload),
        Err(failure) => [me.begin(FAILURE), failure.encode()].concat().into(),
    }
}

/// The answer is no longer awaited.
pub(super) fn encode_cancel(me: &Sender) -> Bytes {
    me.begin(CANCEL).into()
}

pub(super) fn is_cancel(bytes: &Bytes) -> bool {
    begun(bytes).is_ok_and(|begun| begun.kind == CANCEL)
}

pub(super) fn decode_answer(bytes: &Bytes) -> Result<Answer, FrameError> {
    let Begun { kind, mut rest, .. } = begun(bytes)?;
    let [first] = rest.array()?;
    match kind {
        ANSWER => Ok(Ok(Payload { content: ContentType::from_flags(first), bytes: rest.end() })),
        FAILURE => {
            let text = rest.end();
            let text = String::from_utf8_lossy(&text[..text.len().min(LONGEST_TEXT)]).into_owned();
            Ok(Err(Failure::decode(first, text)))
        }
        _ => Err(FrameError::Malformed),
    }
}

fn with_payload(mut bytes: Vec<u8>, payload: &Payload) -> Bytes {
    bytes.push(payload.content.to_flags());
    bytes.extend_from_slice(&payload.bytes);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use multi_node_fleet::id::Slot;
    use proptest::prelude::*;

    use super::*;

    fn question() -> Question {
        Question {
            machine: "a1".to_owned(),
            epoch: 0x0201,
            by: Publisher { number: 7, slot: Some(Slot(3)) },
            to: Some(5),
            remaining: 9,
            name: "ab".to_owned(),
            payload: Payload::text("hi"),
        }
    }

    fn me() -> Sender {
        Sender { machine: "a1".to_owned(), epoch: 0x0201 }
    }

    #[test]
    fn what_releases_have_said() {
        let begun = |kind: u8| [&[1, kind, 2][..], b"a1\x01\x02\0\0\0\0\0\0"].concat();
        let asked = b"\x07\0\0\0\0\0\0\0\x03\0\x05\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x02ab\x01hi";
        assert_eq!(question().encode(), [&begun(16)[..], asked].concat());
        let any = Question { to: None, ..question() }.encode();
        assert_eq!(any[23..31], [255; 8]);
        assert_eq!(encode_answer(&me(), &Ok(Payload::text("hi"))), [&begun(17)[..], b"\x01hi"].concat());
        assert_eq!(encode_cancel(&me()), begun(19));
        assert!(is_cancel(&encode_cancel(&me())) && !is_cancel(&question().encode()));
        let failed = Err(Failure::Failed("no".to_owned()));
        assert_eq!(encode_answer(&me(), &failed), [&begun(18)[..], b"\x03no"].concat());
        assert_eq!(encode_answer(&me(), &Err(Failure::NoSuchNode)), [&begun(18)[..], b"\x05"].concat());
    }

    #[test]
    fn what_is_no_question_and_no_answer_is_refused() {
        let answer = encode_answer(&me(), &Ok(Payload::text("hi")));
        assert_eq!(Question::decode(&answer), Err(FrameError::Malformed));
        assert_eq!(decode_answer(&question().encode()), Err(FrameError::Malformed));
        assert_eq!(decode_answer(&answer.slice(..answer.len() - 3)), Err(FrameError::Malformed), "cut");
        let long = encode_answer(&me(), &Err(Failure::Failed("a".repeat(10_000))));
        assert_eq!(decode_answer(&long), Ok(Err(Failure::Failed("a".repeat(LONGEST_TEXT)))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            number: u64, to in prop::option::of(0..ANY), remaining: u64, name in "\\PC{1,60}", bytes: Vec<u8>, content in 0..4u8,
        ) {
            let payload = Payload { content: ContentType::from_flags(content), bytes: bytes.into() };
            let by = Publisher { number, slot: None };
            let question = Question { by, to, remaining, name, payload: payload.clone(), ..question() };
            prop_assert_eq!(Question::decode(&question.encode()), Ok(question));
            prop_assert_eq!(decode_answer(&encode_answer(&me(), &Ok(payload.clone()))), Ok(Ok(payload)));
        }

        #[test]
        fn no_bytes_harm_the_decoders(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 15..20u8) {
            let begun = Bytes::from([&[1, kind, 1, b'a'][..], &bytes].concat());
            for bytes in [Bytes::from(bytes), begun] {
                let _ = Question::decode(&bytes);
                let _ = decode_answer(&bytes);
            }
        }
    }
}
