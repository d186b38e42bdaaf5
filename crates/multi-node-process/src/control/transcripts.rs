//! The messages of releases, as bytes. Every later release has to understand them, and this one has to understand its own.
//! For tests.
//!
//! `tests/transcripts/` has a line for each message that a release has sent: its kind, the number of its descriptors, and its
//! bytes. Lines are added, never changed. A kind without a line fails the test, which then shows the line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytes::BytesMut;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::codec::{Decoder, encode};
use super::fd::{self, Unclaimed};
use super::{Skipped, kind};

/// Any message, as what it says: messages of two releases can be compared.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    Nil,
    Bool(bool),
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Plain>),
    Map(BTreeMap<String, Plain>),
}

impl Plain {
    /// Whether all that stands here stands there too, where there may be more fields.
    fn is_within(&self, other: &Plain) -> bool {
        match (self, other) {
            (Plain::List(own), Plain::List(other)) => {
                own.len() == other.len() && own.iter().zip(other).all(|(own, other)| own.is_within(other))
            }
            (Plain::Map(own), Plain::Map(other)) => {
                own.iter().all(|(name, value)| other.get(name).is_some_and(|other| value.is_within(other)))
            }
            (own, other) => own == other,
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Plain, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Plain;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E>(self) -> Result<Plain, E> {
                Ok(Plain::Nil)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
                Ok(Plain::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
                Ok(Plain::Number(value as f64))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
                Ok(Plain::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
                Ok(Plain::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Plain, E> {
                Ok(Plain::Text(value.to_owned()))
            }
            fn visit_bytes<E>(self, value: &[u8]) -> Result<Plain, E> {
                Ok(Plain::Bytes(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Plain, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = list.next_element()? {
                    all.push(entry);
                }
                Ok(Plain::List(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Plain, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<Plain, Plain>()? {
                    all.insert(format!("{name:?}"), value);
                }
                Ok(Plain::Map(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A message of today: its number of descriptors, and what it says.
type Sample = (usize, Value);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn nulls<T: From<std::fs::File>>(count: usize) -> Vec<T> {
    (0..count).map(|_| std::fs::File::open("/dev/null").expect("/dev/null").into()).collect()
}

/// The message's frame, as this release writes it.
fn frame(message: &impl Serialize) -> Vec<u8> {
    let mut frame = BytesMut::new();
    encode(message, &mut frame).expect("short");
    frame.to_vec()
}

/// Whether every kind has been recorded, and all that was recorded is understood as it was meant.
pub fn assert_understood<M: Serialize + DeserializeOwned>(transcript: &str, samples: &[Sample]) {
    let lines: Vec<Vec<&str>> = transcript.lines().map(|line| line.split(' ').collect()).collect();
    let missing: Vec<String> = samples
        .iter()
        .map(|(fds, said)| {
            let message = fd::claimed(Some(nulls(*fds)), Unclaimed::Refuse, || serde_json::from_value(said.clone()));
            let message: M = message.expect("its descriptors").unwrap_or_else(|error| panic!("{said}: {error}"));
            let name = said.as_str().or_else(|| said.as_object()?.keys().next().map(String::as_str));
            format!("{} {fds} {}", name.expect("a kind"), hex(&frame(&message)))
        })
        .filter(|line| lines.iter().all(|known| !line.starts_with(&format!("{} ", known[0]))))
        .collect();
    assert!(missing.is_empty(), "add what this release says:\n{}", missing.join("\n"));
    for known in kind::known::<M>() {
        assert!(lines.iter().any(|line| line[0] == *known), "there is no sample of {known}");
    }
    lines.iter().for_each(|line| assert_line_is_understood::<M>(line));
}

fn assert_line_is_understood<M: Serialize + DeserializeOwned>(line: &[&str]) {
    let [name, fds, hex] = line else { panic!("{line:?} is no line") };
    let (fds, said, skipped) = (fds.parse().expect("a number"), bytes(hex), Arc::new(AtomicU64::new(0)));
    let mut decoder = Decoder { skipped: Skipped::counted(&skipped), ..Decoder::default() };
    decoder.bytes.extend_from_slice(&said);
    decoder.fds.extend(nulls(fds));
    let message: M = decoder.next().expect(name).unwrap_or_else(|| panic!("{name} is skipped"));
    assert_eq!((skipped.load(Relaxed), decoder.fds.len()), (0, 0), "{name}");
    let plain = |frame: &[u8]| rmp_serde::from_slice::<Plain>(&frame[5..]).expect("MessagePack");
    let (before, now) = (plain(&said), plain(&frame(&message)));
    assert!(before.is_within(&now), "{name}: it was said {before:?}, and understood {now:?}");
}
