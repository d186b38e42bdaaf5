//! The bytes between machines, little endian.
//!
//! ```text
//! version u8 | kind u8 | length u8, machine | epoch u64 | records
//! ```
//!
//! What comes from the network may be anything: a frame that is none is an error, and no length in it is believed.

mod fleet;

use bytes::Bytes;
use multi_node_bus::{ContentType, MOST_NAME, Payload};
use multi_node_fleet::id::Slot;
use multi_node_fleet::machines::MachineFleet;
use thiserror::Error;

pub(crate) use self::fleet::digest;
use crate::name::{LONGEST_NAME, is_name};

/// Frames of another version are refused.
const VERSION: u8 = 1;

/// How large a frame of several records gets at most; a single message may be larger.
pub(crate) const FRAME: usize = 64 << 10;

/// Stands for a process without a slot.
const NO_SLOT: u16 = u16::MAX;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The machine that sends it.
    pub(crate) machine: String,
    /// Another number for each start of the machine's program.
    pub(crate) epoch: u64,
    pub(crate) body: Body,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Messages of the topic in whose subject the frame comes.
    Messages(Vec<Message>),
    /// Which messages of this topic come next.
    Places(Vec<Place>),
    /// The machine wants these topics for the next seconds.
    Wants {
        /// It wants to know the places now; without topics, what the others want.
        asks: bool,
        topics: Vec<String>,
    },
    /// It wants these topics no longer.
    WantsNoMore(Vec<String>),
    /// The processes of the machine.
    Fleet(MachineFleet),
    /// The machine is there, and its processes have this digest.
    Alive { digest: u64 },
    /// The machine's program ends.
    Leaves,
    /// The machine of this name is asked for its processes.
    AsksFleet(String),
}

/// A process of the machine that sends the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Publisher {
    /// The number of its id.
    pub(crate) number: u64,
    pub(crate) slot: Option<Slot>,
}

/// A message with its publisher's number of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) from: Publisher,
    pub(crate) seq: u64,
    pub(crate) payload: Payload,
}

/// The number of a publisher's next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) from: Publisher,
    pub(crate) next: u64,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum FrameError {
    /// It is of another version.
    #[error("a frame of version {0}, and this program speaks {VERSION}")]
    Version(u8),
    /// It has another form.
    #[error("a malformed frame")]
    Malformed,
}

/// Who sends frames.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) machine: String,
    pub(crate) epoch: u64,
}

impl Sender {
    /// What stands before the records.
    pub(crate) fn begin(&self, kind: u8) -> Vec<u8> {
        let mut bytes = vec![VERSION, kind, u8::try_from(self.machine.len()).unwrap_or(u8::MAX)];
        bytes.extend_from_slice(self.machine.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes
    }

    /// The messages as few frames.
    pub(crate) fn messages(&self, messages: &[Message]) -> Vec<Bytes> {
        self.frames(
            1,
            messages.iter().map(|Message { from, seq, payload }| {
                let mut record = publisher(*from);
                record.extend_from_slice(&seq.to_le_bytes());
                record.push(payload.content.to_flags());
                record.extend_from_slice(&u32::try_from(payload.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
                record.extend_from_slice(&payload.bytes);
                record
            }),
        )
    }

    pub(crate) fn places(&self, places: impl Iterator<Item = Place>) -> Vec<Bytes> {
        self.frames(
            2,
            places.map(|Place { from, next }| {
                let mut record = publisher(from);
                record.extend_from_slice(&next.to_le_bytes());
                record
            }),
        )
    }

    pub(crate) fn wants<'a>(&self, asks: bool, topics: impl Iterator<Item = &'a str>) -> Vec<Bytes> {
        self.frames(if asks { 4 } else { 3 }, topics.map(name))
    }

    /// Asks all machines what they want.
    pub(crate) fn asks_all(&self) -> Bytes {
        self.begin(4).into()
    }

    pub(crate) fn wants_no_more<'a>(&self, topics: impl Iterator<Item = &'a str>) -> Vec<Bytes> {
        self.frames(5, topics.map(name))
    }

    /// Gathers records in frames of about [`FRAME`] bytes.
    fn frames(&self, kind: u8, records: impl Iterator<Item = Vec<u8>>) -> Vec<Bytes> {
        let begun = self.begin(kind);
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for record in records {
            match frames.last_mut() {
                Some(frame) if frame.len() + record.len() <= FRAME => frame.extend_from_slice(&record),
                _ => frames.push([&begun[..], &record].concat()),
            }
        }
        frames.into_iter().map(Bytes::from).collect()
    }
}

pub(crate) fn publisher(Publisher { number, slot }: Publisher) -> Vec<u8> {
    let mut record = number.to_le_bytes().to_vec();
    record.extend_from_slice(&self::slot(slot));
    record
}

fn slot(slot: Option<Slot>) -> [u8; 2] {
    slot.map_or(NO_SLOT, |slot| slot.0).to_le_bytes()
}

fn name(name: &str) -> Vec<u8> {
    // Names have at most 255 bytes.
    let mut record = vec![u8::try_from(name.len()).unwrap_or(u8::MAX)];
    record.extend_from_slice(name.as_bytes());
    record
}

impl Frame {
    /// Reads a frame. Payloads share its bytes.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Frame, FrameError> {
        let Begun { kind, machine, epoch, mut rest } = begun(bytes)?;
        let body = match kind {
            1 => Body::Messages(rest.all(Rest::message)?),
            2 => Body::Places(rest.all(Rest::place)?),
            3 | 4 => Body::Wants { asks: kind == 4, topics: rest.all(Rest::topic)? },
            5 => Body::WantsNoMore(rest.all(Rest::topic)?),
            6 => Body::Fleet(rest.fleet()?),
            7 => Body::Alive { digest: u64::from_le_bytes(rest.array()?) },
            8 => Body::Leaves,
            9 => Body::AsksFleet(rest.name(LONGEST_NAME)?),
            _ => return Err(FrameError::Malformed),
        };
        Ok(Frame { machine, epoch, body })
    }
}

/// What each frame begins with, and what follows.
pub(crate) struct Begun {
    pub(crate) kind: u8,
    pub(crate) machine: String,
    pub(crate) epoch: u64,
    pub(crate) rest: Rest,
}

/// Reads what a frame begins with.
pub(crate) fn begun(bytes: &Bytes) -> Result<Begun, FrameError> {
    let mut rest = Rest { bytes: bytes.clone() };
    let [version, kind] = rest.array()?;
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let machine = rest.name(LONGEST_NAME)?;
    if !is_name(&machine) {
        return Err(FrameError::Malformed);
    }
    Ok(Begun { kind, machine, epoch: u64::from_le_bytes(rest.array()?), rest })
}

/// What has yet to be read.
pub(crate) struct Rest {
    bytes: Bytes,
}

impl Rest {
    fn take(&mut self, length: usize) -> Result<Bytes, FrameError> {
        if length > self.bytes.len() {
            return Err(FrameError::Malformed);
        }
        Ok(self.bytes.split_to(length))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or(FrameError::Malformed)
    }

    fn all<T>(&mut self, mut record: impl FnMut(&mut Rest) -> Result<T, FrameError>) -> Result<Vec<T>, FrameError> {
        let mut all = Vec::new();
        while !self.bytes.is_empty() {
            all.push(record(self)?);
        }
        Ok(all)
    }

    fn name(&mut self, longest: usize) -> Result<String, FrameError> {
        let [length] = self.array()?;
        let name = self.take(length.into())?;
        let name = str::from_utf8(&name).ok().filter(|name| (1..=longest).contains(&name.len()));
        name.map(str::to_owned).ok_or(FrameError::Malformed)
    }

    /// What is left.
    pub(crate) fn end(self) -> Bytes {
        self.bytes
    }

    pub(crate) fn topic(&mut self) -> Result<String, FrameError> {
        self.name(MOST_NAME)
    }

    pub(crate) fn publisher(&mut self) -> Result<Publisher, FrameError> {
        let number = u64::from_le_bytes(self.array()?);
        Ok(Publisher { number, slot: self.slot()? })
    }

    fn slot(&mut self) -> Result<Option<Slot>, FrameError> {
        let slot = u16::from_le_bytes(self.array()?);
        Ok(Some(slot).filter(|slot| *slot != NO_SLOT).map(Slot))
    }

    fn message(&mut self) -> Result<Message, FrameError> {
        let (from, seq, [content]) = (self.publisher()?, u64::from_le_bytes(self.array()?), self.array()?);
        let length = u32::from_le_bytes(self.array()?);
        let bytes = self.take(length as usize)?;
        Ok(Message { from, seq, payload: Payload { content: ContentType::from_flags(content), bytes } })
    }

    fn place(&mut self) -> Result<Place, FrameError> {
        Ok(Place { from: self.publisher()?, next: u64::from_le_bytes(self.array()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn sender() -> Sender {
        Sender { machine: "a1".to_owned(), epoch: 0x0201 }
    }

    fn any_publisher() -> impl Strategy<Value = Publisher> {
        (any::<u64>(), prop::option::of(0..u16::MAX))
            .prop_map(|(number, slot)| Publisher { number, slot: slot.map(Slot) })
    }

    fn any_message() -> impl Strategy<Value = Message> {
        (
            any_publisher(),
            any::<u64>(),
            0..16u8,
            prop_oneof![9 => 0..100usize, 1 => 20_000..40_000usize].prop_map(|length| vec![7; length]),
        )
            .prop_map(|(from, seq, content, bytes)| Message {
                from,
                seq,
                payload: Payload { content: ContentType::from_flags(content), bytes: bytes.into() },
            })
    }

    fn bodies(frames: &[Bytes]) -> Vec<Body> {
        frames.iter().map(|frame| Frame::decode(frame).expect("a frame").body).collect()
    }

    #[test]
    fn what_releases_have_said() {
        let from = Publisher { number: 7, slot: Some(Slot(3)) };
        let message = Message { from, seq: 5, payload: Payload::text("hi") };
        let begun = |kind: u8| [&[1, kind, 2][..], b"a1\x01\x02\0\0\0\0\0\0"].concat();
        let publisher = b"\x07\0\0\0\0\0\0\0\x03\0";
        let messages = [&begun(1)[..], publisher, b"\x05\0\0\0\0\0\0\0\x01\x02\0\0\0hi"].concat();
        assert_eq!(sender().messages(&[message]), [messages]);
        let place = Place { from: Publisher { number: 0, slot: None }, next: 6 };
        let places = [&begun(2)[..], b"\0\0\0\0\0\0\0\0\xff\xff", b"\x06\0\0\0\0\0\0\0"].concat();
        assert_eq!(sender().places([place].into_iter()), [places]);
        assert_eq!(sender().wants(false, ["ab"].into_iter()), [[&begun(3)[..], b"\x02ab"].concat()]);
        assert_eq!(sender().wants(true, ["ab"].into_iter()), [[&begun(4)[..], b"\x02ab"].concat()]);
        assert_eq!(sender().asks_all(), begun(4));
        assert_eq!(sender().wants_no_more(["ab", "c"].into_iter()), [[&begun(5)[..], b"\x02ab\x01c"].concat()]);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let decode = |bytes: &'static [u8]| Frame::decode(&Bytes::from_static(bytes));
        assert_eq!(decode(b""), Err(FrameError::Malformed));
        assert_eq!(decode(b"\x02\x01\x01a\0\0\0\0\0\0\0\0"), Err(FrameError::Version(2)));
        assert_eq!(decode(b"\x01\x09\x01a\0\0\0\0\0\0\0\0"), Err(FrameError::Malformed), "an unknown kind");
        assert_eq!(decode(b"\x01\x01\x01/\0\0\0\0\0\0\0\0"), Err(FrameError::Malformed), "no name");
        assert_eq!(decode(b"\x01\x01\0\0\0\0\0\0\0\0\0"), Err(FrameError::Malformed), "an empty name");
        assert_eq!(decode(b"\x01\x03\x01a\0\0\0\0\0\0\0\0\x05ab"), Err(FrameError::Malformed), "cut");
        assert_eq!(decode(b"\x01\x03\x01a\0\0\0\0\0\0\0\0\0"), Err(FrameError::Malformed), "a topic without a name");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_in_frames_of_bounded_size(messages in vec(any_message(), 0..6)) {
            let frames = sender().messages(&messages);
            for frame in &frames {
                prop_assert!(frame.len() <= FRAME + 100);
            }
            let read = bodies(&frames).into_iter().flat_map(|body| match body {
                Body::Messages(messages) => messages,
                _ => Vec::new(),
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), messages);
        }

        #[test]
        fn names_and_places_are_read_again(
            topics in vec("\\PC{1,60}", 0..300), places in vec((any_publisher(), any::<u64>()), 0..300), asks: bool,
        ) {
            let read = bodies(&sender().wants(asks, topics.iter().map(String::as_str))).into_iter().flat_map(|body| match body {
                Body::Wants { asks: read, topics } if read == asks => topics,
                _ => Vec::new(),
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), topics);
            let places: Vec<Place> = places.into_iter().map(|(from, next)| Place { from, next }).collect();
            let read = bodies(&sender().places(places.iter().copied())).into_iter().flat_map(|body| match body {
                Body::Places(places) => places,
                _ => Vec::new(),
            });
            prop_assert_eq!(read.collect::<Vec<_>>(), places);
        }

        #[test]
        fn no_bytes_harm_the_decoder(bytes in vec(any::<u8>(), 0..200), kind in 0..11u8, cut in any::<prop::sample::Index>()) {
            let _ = Frame::decode(&Bytes::from(bytes.clone()));
            let begun = [&[1, kind, 1, b'a'][..], &bytes].concat();
            let cut = cut.index(begun.len() + 1);
            let _ = Frame::decode(&Bytes::from(begun).slice(..cut));
        }
    }
}
