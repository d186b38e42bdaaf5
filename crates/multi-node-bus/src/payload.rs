//! What is sent: bytes and how to read them.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use thiserror::Error;

use crate::transcode::message_pack_to_json;

/// How a payload's bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// Bytes that the bus knows nothing about.
    Bytes,
    /// UTF-8.
    Text,
    /// JSON.
    Json,
    /// MessagePack, with structs as maps of named fields.
    MessagePack,
    /// A content type of a later version.
    Unknown(u8),
}

impl ContentType {
    /// Its number in frames, 0 to 15.
    pub fn to_flags(self) -> u8 {
        match self {
            ContentType::Bytes => 0,
            ContentType::Text => 1,
            ContentType::Json => 2,
            ContentType::MessagePack => 3,
            ContentType::Unknown(number) => number & 15,
        }
    }

    /// The content type in the lower four bits of a frame's flags.
    pub fn from_flags(flags: u8) -> ContentType {
        match flags & 15 {
            0 => ContentType::Bytes,
            1 => ContentType::Text,
            2 => ContentType::Json,
            3 => ContentType::MessagePack,
            number => ContentType::Unknown(number),
        }
    }
}

/// Bytes with their content type. Clones share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// How to read the bytes.
    pub content: ContentType,
    /// The bytes.
    pub bytes: Bytes,
}

impl Payload {
    /// Bytes that the bus knows nothing about.
    pub fn bytes(bytes: impl Into<Bytes>) -> Payload {
        Payload { content: ContentType::Bytes, bytes: bytes.into() }
    }

    /// UTF-8.
    pub fn text(text: impl Into<String>) -> Payload {
        Payload { content: ContentType::Text, bytes: text.into().into() }
    }

    /// The value as JSON.
    ///
    /// # Errors
    ///
    /// When the value cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Payload, EncodeError> {
        let bytes = serde_json::to_vec(value)?;
        Ok(Payload { content: ContentType::Json, bytes: bytes.into() })
    }

    /// The value as MessagePack with named fields.
    ///
    /// # Errors
    ///
    /// When the value cannot be written as MessagePack.
    pub fn message_pack(value: &impl Serialize) -> Result<Payload, EncodeError> {
        let bytes = rmp_serde::to_vec_named(value)?;
        Ok(Payload { content: ContentType::MessagePack, bytes: bytes.into() })
    }

    /// The bytes as text, whatever their content type.
    pub fn as_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The value as JSON, whatever its content type: text as JSON's string, bytes as an array of numbers.
    ///
    /// # Errors
    ///
    /// When the bytes are not what their content type says.
    pub fn to_json(&self) -> Result<Cow<'_, str>, DecodeError> {
        match self.content {
            ContentType::MessagePack => Ok(message_pack_to_json(&self.bytes)?.into()),
            ContentType::Json => {
                let text = str::from_utf8(&self.bytes)?;
                serde_json::from_str::<IgnoredAny>(text)?;
                Ok(Cow::Borrowed(text))
            }
            ContentType::Text => Ok(serde_json::to_string(str::from_utf8(&self.bytes)?)?.into()),
            ContentType::Bytes => Ok(serde_json::to_string(&self.bytes[..])?.into()),
            ContentType::Unknown(number) => Err(DecodeError::UnknownContent(number)),
        }
    }

    /// The value, read by the content type that arrived: a text is read as JSON's string, bytes as a sequence of numbers.
    ///
    /// # Errors
    ///
    /// When the bytes are no such value.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match self.content {
            ContentType::MessagePack => Ok(rmp_serde::from_slice(&self.bytes)?),
            ContentType::Json => Ok(serde_json::from_slice(&self.bytes)?),
            ContentType::Text => {
                let text = str::from_utf8(&self.bytes)?;
                Ok(T::deserialize(serde::de::value::StrDeserializer::<serde_json::Error>::new(text))?)
            }
            ContentType::Bytes => {
                let numbers = self.bytes.iter().copied();
                Ok(T::deserialize(serde::de::value::SeqDeserializer::<_, serde_json::Error>::new(numbers))?)
            }
            ContentType::Unknown(number) => Err(DecodeError::UnknownContent(number)),
        }
    }
}

/// How a typed topic or handler writes its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// MessagePack with named fields.
    #[default]
    MessagePack,
    /// JSON.
    Json,
}

impl Encoding {
    pub(crate) fn encode(self, value: &impl Serialize) -> Result<Payload, EncodeError> {
        match self {
            Encoding::MessagePack => Payload::message_pack(value),
            Encoding::Json => Payload::json(value),
        }
    }
}

/// A value that cannot be sent.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// It cannot be written as MessagePack.
    #[error("cannot encode the value as MessagePack")]
    MessagePack(#[from] rmp_serde::encode::Error),
    /// It cannot be written as JSON.
    #[error("cannot encode the value as JSON")]
    Json(#[from] serde_json::Error),
}

/// A payload that is not a value of the expected type.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// It is MessagePack, but not of this type.
    #[error("cannot decode the MessagePack payload")]
    MessagePack(#[from] rmp_serde::decode::Error),
    /// It is JSON, a text or bytes, but not of this type.
    #[error("cannot decode the payload")]
    Json(#[from] serde_json::Error),
    /// It says that it is text, but is not UTF-8.
    #[error("the payload is not UTF-8")]
    Text(#[from] std::str::Utf8Error),
    /// A later version sent it.
    #[error("the payload has the content type {0}, which this version doesn't know")]
    UnknownContent(u8),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chat {
        name: String,
        number: u32,
    }

    #[test]
    fn values_are_read_by_the_content_type_that_arrived() {
        let chat = Chat { name: "a".to_owned(), number: 7 };
        for encoding in [Encoding::MessagePack, Encoding::Json] {
            let payload = encoding.encode(&chat).unwrap();
            assert_eq!(payload.decode::<Chat>().unwrap(), chat);
        }
        assert_eq!(Payload::text("hé").decode::<String>().unwrap(), "hé");
        assert_eq!(Payload::bytes(vec![1, 2]).decode::<Vec<u8>>().unwrap(), [1, 2]);
    }

    #[test]
    fn what_is_no_such_value_is_an_error() {
        let wrong = [
            Payload::bytes(vec![1]),
            Payload::text("{}"),
            Payload { content: ContentType::Json, bytes: Bytes::from_static(b"{") },
            Payload { content: ContentType::MessagePack, bytes: Bytes::from_static(&[0xc1]) },
            Payload { content: ContentType::Text, bytes: Bytes::from_static(&[0xff]) },
            Payload { content: ContentType::Unknown(9), bytes: Bytes::new() },
        ];
        for payload in wrong {
            assert!(payload.decode::<Chat>().is_err(), "{payload:?}");
        }
    }

    #[test]
    fn each_content_type_reads_as_json() {
        let json = |payload: &Payload| payload.to_json().map(Cow::into_owned).ok();
        assert_eq!(json(&Payload::message_pack(&[1, 2]).unwrap()).unwrap(), "[1,2]");
        assert_eq!(json(&Payload::json(&"a").unwrap()).unwrap(), "\"a\"");
        assert_eq!(json(&Payload::text("a\"b")).unwrap(), r#""a\"b""#);
        assert_eq!(json(&Payload::bytes(vec![1, 2])).unwrap(), "[1,2]");
        let wrong = [&b"{"[..], b"1 2", b"\"\xff\""];
        for bytes in wrong {
            assert_eq!(json(&Payload { content: ContentType::Json, bytes: Bytes::copy_from_slice(bytes) }), None);
        }
    }

    /// Bytes as MessagePack's binary data.
    #[derive(Debug, PartialEq)]
    struct Binary(Vec<u8>);

    impl Serialize for Binary {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_bytes(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for Binary {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Binary, D::Error> {
            Bytes::deserialize(from).map(|bytes| Binary(bytes.to_vec()))
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Mixed {
        bytes: Binary,
        pair: (u16, f32),
        none: Option<u8>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_name: Option<BTreeMap<String, u8>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_number: Option<BTreeMap<u32, String>>,
        neg: i16,
    }

    #[test]
    fn javascript_reads_and_writes_the_same() {
        // The same texts stand in the test `message-pack` of the Node.js package.
        let written = "85a56279746573c40200ffa47061697292cd0104ca3f000000a46e6f6e65c0a962795f6e756d6265728107a5736576656ea36e6567d1ff00";
        let of_javascript = "84a56279746573c5000200ffa47061697292ce00000104cb3fe0000000000000a762795f6e616d6581a5736576656e07a36e6567d2ffffff00";
        let (bytes, by_number) = (Binary(vec![0, 255]), Some([(7, "seven".to_owned())].into()));
        let mixed = Mixed { bytes, pair: (260, 0.5), none: None, by_name: None, by_number, neg: -256 };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(&Payload::message_pack(&mixed).unwrap().bytes), written);
        let bytes = of_javascript.as_bytes().chunks(2);
        let bytes =
            bytes.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect::<Vec<_>>();
        let payload = Payload { content: ContentType::MessagePack, bytes: bytes.into() };
        let by_name = Some([("seven".to_owned(), 7)].into());
        assert_eq!(payload.decode::<Mixed>().unwrap(), Mixed { by_name, by_number: None, ..mixed });
    }

    #[test]
    fn fields_have_their_names() {
        let payload = Payload::message_pack(&Chat { name: "a".to_owned(), number: 7 }).unwrap();
        assert!(payload.as_text().contains("number"));
    }

    #[test]
    fn content_types_survive_their_flags() {
        for number in 0..16 {
            assert_eq!(ContentType::from_flags(number).to_flags(), number);
        }
    }
}
