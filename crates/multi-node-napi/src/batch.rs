//! Many messages in one call: a JSON array, and the bytes of those that are no JSON.

use std::fmt::{Display, Write};

use multi_node::bus::{ContentType, Payload};
use multi_node::status::NodeId;
use napi::bindgen_prelude::{Buffer, Either3};
use napi_derive::napi;

/// A batch that holds more bytes than this takes no further message.
const FULL: usize = 1 << 20;

/// The most messages of one batch.
const MOST: usize = 1024;

/// How a message's content stands in a batch.
const JSON: u8 = 0;
const BYTES: u8 = 1;
const UNREADABLE: u8 = 2;
const PACKED: u8 = 4;

/// Some messages, for JavaScript.
#[napi(object, object_from_js = false)]
pub struct Batch {
    /// A JSON array. Each message is a fixed number of its elements, the last two of which are a kind of content and the content.
    pub text: String,
    /// The bytes of all contents that are bytes or MessagePack; in the array stands how long each is.
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
    pub(crate) fn json(&mut self, json: impl Display) {
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
        // A text takes all that is written.
        let _ = write!(self.text, "{json}");
    }

    pub(crate) fn number(&mut self, number: impl Into<u64>) {
        self.json(number.into());
    }

    /// An id, which has no character that JSON escapes.
    pub(crate) fn id(&mut self, id: NodeId) {
        self.json(format_args!("\"{id}\""));
    }

    pub(crate) fn string(&mut self, text: &str) {
        self.json(serde_json::Value::from(text));
    }

    /// The two elements of a content.
    pub(crate) fn content(&mut self, payload: &Payload) {
        match payload.content {
            ContentType::Bytes => self.bytes(BYTES, &payload.bytes),
            ContentType::MessagePack => self.bytes(PACKED, &payload.bytes),
            _ => match payload.to_json() {
                Ok(json) => {
                    self.number(JSON);
                    self.json(json);
                }
                Err(error) => {
                    self.number(UNREADABLE);
                    self.string(&error.to_string());
                }
            },
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.number(kind);
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// A content of text, which is a message of ours.
    pub(crate) fn text(&mut self, text: &str) {
        self.number(JSON);
        self.string(text);
    }

    fn finish(mut self, more: bool) -> Batch {
        self.text.push_str(if self.text.is_empty() { "[]" } else { "]" });
        let bytes = (!self.bytes.is_empty()).then(|| self.bytes.into());
        Batch { text: self.text, bytes, more, unconfirmed: None, subscribers: None }
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
    let content = if kind == u32::from(BYTES) { ContentType::Bytes } else { ContentType::Json };
    Payload { content, bytes: bytes.to_vec().into() }
}
