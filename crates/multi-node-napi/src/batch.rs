//! Many messages in one call: numbers that say what each is, the bytes of those that are bytes, and a JSON array with the others.

use std::fmt::{Display, Write};

use multi_node::bus::{ContentType, Payload};
use multi_node::status::NodeId;
use napi::bindgen_prelude::{Buffer, Either3, Uint32Array};
use napi_derive::napi;

/// A batch that holds more bytes than this takes no further message.
const FULL: usize = 1 << 20;

/// The most messages of one batch.
const MOST: usize = 1024;

/// How a message's content stands in a batch. These three are elements of the array, and the others are bytes.
const JSON: u32 = 0;
const UNREADABLE: u32 = 2;
const MISSED: u32 = 3;

const BYTES: u32 = 1;
const PACKED: u32 = 4;

/// The bits of a head that hold the kind. Those above them hold who sent the message.
const KIND_BITS: u32 = 8;

/// Some messages, for JavaScript.
#[napi(object, object_from_js = false)]
pub struct Batch {
    /// Two numbers for each message: its kind and the place of its sender in `senders`; and how many bytes it has in `bytes`.
    pub heads: Option<Uint32Array>,
    /// Who sent the messages.
    pub senders: Vec<String>,
    /// The elements of a JSON array, one after the other as the messages need them.
    pub text: Option<String>,
    /// All contents that are bytes or MessagePack, one after the other.
    pub bytes: Option<Buffer>,
    /// Whether there may be more.
    pub more: bool,
    /// Which peers had not confirmed the subscription when it was waited for no longer. Once per subscription.
    pub unconfirmed: Option<Vec<String>>,
    /// Of a subscription: which peers get what this process publishes, at first and after each change.
    pub subscribers: Option<Vec<String>>,
}

/// Writes a batch.
#[derive(Default)]
pub(crate) struct Writer {
    heads: Vec<u32>,
    senders: Vec<NodeId>,
    /// Where the last message's sender stands, moved to the bits above the kind.
    sender: u32,
    text: String,
    bytes: Vec<u8>,
}

impl Batch {
    /// Gathers messages until the batch is full, or `next`, which writes one, says that there is none.
    pub(crate) fn gather(mut next: impl FnMut(&mut Writer) -> bool) -> Batch {
        let mut writer = Writer::default();
        for _ in 0..MOST {
            if writer.is_full() {
                break;
            }
            if !next(&mut writer) {
                return writer.finish(false);
            }
        }
        writer.finish(true)
    }
}

impl Writer {
    fn is_full(&self) -> bool {
        self.text.len() + self.bytes.len() > FULL
    }

    /// An element that is JSON already.
    fn json(&mut self, json: &str) {
        self.begin_element();
        self.text.push_str(json);
    }

    fn begin_element(&mut self) {
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
    }

    /// An element that is a number.
    pub(crate) fn number(&mut self, number: impl Display) {
        self.begin_element();
        // A text takes all that is written.
        let _ = write!(self.text, "{number}");
    }

    /// An element that is a text.
    pub(crate) fn string(&mut self, text: &str) {
        self.json(&serde_json::Value::from(text).to_string());
    }

    /// Who sent the messages that follow.
    pub(crate) fn sender(&mut self, id: NodeId) {
        let place = self.senders.iter().rposition(|sender| *sender == id).unwrap_or_else(|| {
            self.senders.push(id);
            self.senders.len() - 1
        });
        // A batch has fewer messages than the bits have room for.
        self.sender = (place as u32) << KIND_BITS;
    }

    fn head(&mut self, kind: u32, length: usize) {
        // Contents have less than 4 GiB: a message has 1 GiB at most.
        self.heads.extend([kind | self.sender, length as u32]);
    }

    pub(crate) fn content(&mut self, payload: &Payload) {
        match payload.content {
            ContentType::Bytes => self.bytes(BYTES, &payload.bytes),
            ContentType::MessagePack => self.bytes(PACKED, &payload.bytes),
            _ => match payload.to_json() {
                Ok(json) => {
                    self.head(JSON, 0);
                    self.json(&json);
                }
                Err(error) => {
                    self.head(UNREADABLE, 0);
                    self.string(&error.to_string());
                }
            },
        }
    }

    fn bytes(&mut self, kind: u32, bytes: &[u8]) {
        self.head(kind, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// A content of text, which is a message of ours.
    pub(crate) fn text(&mut self, text: &str) {
        self.head(JSON, 0);
        self.string(text);
    }

    /// In place of a content: how many messages are missing.
    pub(crate) fn missed(&mut self, missed: u64) {
        self.head(MISSED, 0);
        self.number(missed);
    }

    fn finish(mut self, more: bool) -> Batch {
        if !self.text.is_empty() {
            self.text.push(']');
        }
        let heads = (!self.heads.is_empty()).then(|| self.heads.into());
        let text = (!self.text.is_empty()).then_some(self.text);
        let bytes = (!self.bytes.is_empty()).then(|| self.bytes.into());
        let senders = self.senders.iter().map(ToString::to_string).collect();
        Batch { heads, senders, text, bytes, more, unconfirmed: None, subscribers: None }
    }
}

/// What JavaScript sends: JSON, bytes, or MessagePack.
pub(crate) type Content = Either3<String, Buffer, Packed>;

/// MessagePack, which JavaScript sends where a value holds bytes.
#[napi(object, object_to_js = false)]
pub struct Packed {
    pub packed: Buffer,
}

pub(crate) fn payload(content: Content) -> Payload {
    match content {
        Either3::A(json) => Payload { content: ContentType::Json, bytes: json.into() },
        Either3::B(bytes) => Payload::bytes(Vec::from(bytes)),
        Either3::C(Packed { packed }) => Payload { content: ContentType::MessagePack, bytes: Vec::from(packed).into() },
    }
}

/// A content of this kind, copied.
pub(crate) fn copied(kind: u32, bytes: &[u8]) -> Payload {
    let content = if kind == BYTES { ContentType::Bytes } else { ContentType::Json };
    Payload { content, bytes: bytes.to_vec().into() }
}
