//! Header and kinds.

use thiserror::Error;

/// The bytes before each body.
pub(crate) const HEADER: usize = 18;

/// How many bytes a body may have beside the payload: a name, a deadline, a publisher.
pub(crate) const MOST_BESIDE_PAYLOAD: usize = 512;

/// What a frame is for. The comments say what `channel`, `seq` and the body are; what is not named is 0 or empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The first frame of each side. Body: [`Hello`](super::Hello).
    Hello = 1,
    /// The sender has listed all its subscriptions and handlers on this link.
    Synced = 2,
    /// Channel: the subscriber's number of the topic. Body: its name.
    Subscribe = 3,
    /// Channel: the publisher's number of the topic.
    Unsubscribe = 4,
    /// Channel: the publisher's number. Seq: the next message's. Body: the subscriber's number.
    Confirmed = 5,
    /// Channel: the publisher's number. Nothing follows on it.
    Unsubscribed = 6,
    /// Channel: the subscriber's number. The publisher has too many topics.
    Refused = 7,
    /// Channel: the publisher's number. Flags: the content type. Body: the payload.
    Message = 8,
    /// Channel: the publisher's number. Seq: that of the last message that was dropped.
    Missed = 9,
    /// Channel: the asked process's number of the topic. Seq: of the question. Body: [`Needs`](super::Needs).
    AskHistory = 10,
    /// Channel, seq: as in `Message`, of the process that answers. Body: question, publisher, payload.
    HistoryItem = 11,
    /// Channel: as in `AskHistory`. Seq: of the question. Flags: how the answer is.
    HistoryEnd = 12,
    /// Body: the name of a handler that the sender has.
    Handler = 13,
    /// Body: the name of a handler that the sender has no longer.
    HandlerGone = 14,
    /// The sender takes no new requests to `any`.
    Draining = 15,
    /// Seq: of the request. Flags: the content type. Body: remaining time, name, payload.
    Request = 16,
    /// Seq: of the request. Flags: the content type. Body: the payload.
    Reply = 17,
    /// Seq: of the request. Body: a code, a text.
    Failed = 18,
    /// Seq: of the request, whose answer nobody awaits.
    Cancel = 19,
    /// Channel: the gateway's number. Seq: the publisher's. Flags: the content type. Body: the [process](crate::RemoteProcess), the payload.
    RemoteMessage = 20,
    /// Channel: the gateway's number. Seq: the next message of this publisher. Body: the process.
    RemoteNext = 21,
    /// Body: a process of another machine, then as in `Request`. From the gateway: that process asks. To the gateway: it is asked.
    RemoteRequest = 22,
}

impl Kind {
    const ALL: [Kind; 22] = [
        Kind::Hello,
        Kind::Synced,
        Kind::Subscribe,
        Kind::Unsubscribe,
        Kind::Confirmed,
        Kind::Unsubscribed,
        Kind::Refused,
        Kind::Message,
        Kind::Missed,
        Kind::AskHistory,
        Kind::HistoryItem,
        Kind::HistoryEnd,
        Kind::Handler,
        Kind::HandlerGone,
        Kind::Draining,
        Kind::Request,
        Kind::Reply,
        Kind::Failed,
        Kind::Cancel,
        Kind::RemoteMessage,
        Kind::RemoteNext,
        Kind::RemoteRequest,
    ];

    /// The kind of this number, if this version knows it.
    pub(crate) fn known(number: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// A frame's header without the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// A [`Kind`], or one of a later version.
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) channel: u32,
    pub(crate) seq: u64,
}

impl Head {
    pub(crate) fn new(kind: Kind) -> Head {
        Head { kind: kind as u8, flags: 0, channel: 0, seq: 0 }
    }

    pub(crate) fn flags(self, flags: u8) -> Head {
        Head { flags, ..self }
    }

    pub(crate) fn channel(self, channel: u32) -> Head {
        Head { channel, ..self }
    }

    pub(crate) fn seq(self, seq: u64) -> Head {
        Head { seq, ..self }
    }

    /// The 18 bytes before a body of this length.
    pub(crate) fn encode(self, length: usize) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        // What is sent has been checked against the bound of messages, which is a u32.
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..10].copy_from_slice(&self.channel.to_le_bytes());
        bytes[10..].copy_from_slice(&self.seq.to_le_bytes());
        bytes
    }
}

/// Appends a frame whose body is these parts, one after the other.
pub(crate) fn append(head: Head, parts: &[&[u8]], to: &mut Vec<u8>) {
    to.extend_from_slice(&head.encode(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

/// A frame as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) head: Head,
    pub(crate) body: &'a [u8],
}

impl Frame<'_> {
    /// How many bytes it had on the link.
    pub(crate) fn length(&self) -> usize {
        HEADER + self.body.len()
    }
}

/// Why a link's bytes are no frames.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A body is larger than this side takes.
    #[error("a frame has a body of {length} bytes, but at most {most} are allowed")]
    TooLarge {
        /// What the header says.
        length: usize,
        /// What this side takes.
        most: usize,
    },
    /// A body has not the form of its kind.
    #[error("the body of a frame of kind {kind} is malformed")]
    Malformed {
        /// The frame's kind.
        kind: u8,
    },
    /// A frame came where it makes no sense.
    #[error("a frame of kind {kind} came out of turn")]
    OutOfTurn {
        /// The frame's kind.
        kind: u8,
    },
    /// The peer lists more than this side keeps.
    #[error("the peer has more than {most} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many this side keeps.
        most: usize,
    },
}

/// The first frame of these bytes, or `None` when it is not complete.
pub(crate) fn decode(bytes: &[u8], most: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [l0, l1, l2, l3, kind, flags, c0, c1, c2, c3, seq @ ..] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > most {
        return Err(FrameError::TooLarge { length, most });
    }
    let head = Head { kind, flags, channel: u32::from_le_bytes([c0, c1, c2, c3]), seq: u64::from_le_bytes(seq) };
    Ok(rest.get(..length).map(|body| Frame { head, body }))
}
