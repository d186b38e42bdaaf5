//! Kinds of messages: which of them a receiver knows, and which one has come, so that those of a later release can be skipped.

use std::fmt;
use std::sync::Arc;
#[cfg(any(test, feature = "testing"))]
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::message_pack::from_message_pack;

/// How many messages were skipped because this process does not know their kind; clones share the count.
#[derive(Clone, Default)]
pub struct Skipped(Option<Arc<dyn Fn() + Send + Sync>>);

impl Skipped {
    /// Calls this for each.
    pub fn told(tell: impl Fn() + Send + Sync + 'static) -> Skipped {
        Skipped(Some(Arc::new(tell)))
    }

    /// Adds to this number.
    #[cfg(any(test, feature = "testing"))]
    pub fn counted(count: &Arc<AtomicU64>) -> Skipped {
        let count = count.clone();
        Skipped::told(move || {
            count.fetch_add(1, Ordering::Relaxed);
        })
    }

    pub(super) fn one(&self, kind: &str) {
        crate::log::debug!(kind, "a message was skipped: this release does not know its kind");
        self.0.iter().for_each(|tell| tell());
    }
}

impl fmt::Debug for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Skipped").field(&self.0.is_some()).finish()
    }
}

/// The kind of this message, if it is well-formed and `M` has no such kind.
pub(super) fn unknown<M: DeserializeOwned>(message: &[u8]) -> Option<String> {
    let Kind(kind) = from_message_pack(message).ok()?;
    (!known::<M>().contains(&kind.as_str())).then_some(kind)
}

/// The kinds that an enumeration has.
pub(super) fn known<M: DeserializeOwned>() -> &'static [&'static str] {
    let mut kinds: &'static [&'static str] = &[];
    // It fails in any case, once it has been said what is expected.
    let _ = M::deserialize(Expected(&mut kinds));
    kinds
}

/// What a message is called: it is a name, or a map from its name to its fields.
struct Kind(String);

impl<'de> serde::Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a map of one")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Kind, E> {
                Ok(Kind(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
                let (name, IgnoredAny) = map.next_entry()?.ok_or_else(|| A::Error::custom("an empty map"))?;
                match map.next_key::<IgnoredAny>()? {
                    None => Ok(Kind(name)),
                    Some(_) => Err(A::Error::custom("a map of several")),
                }
            }
        }
        deserializer.deserialize_any(Name)
    }
}

/// Notes which kinds are expected, and gives nothing.
struct Expected<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Expected<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("no enumeration"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        kinds: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = kinds;
        Err(Self::Error::custom("only the kinds are wanted"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::control::{ToMaster, ToNode};

    fn bytes(message: &Value) -> Vec<u8> {
        rmp_serde::to_vec_named(message).expect("MessagePack")
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        assert!(known::<ToMaster>().contains(&"hello") && known::<ToNode>().contains(&"peer_drains"));
        assert_eq!(known::<u32>(), [""; 0]);
        for known in [json!("ready"), json!({ "failed": { "why": "" } }), json!({ "failed": 7 })] {
            assert_eq!(unknown::<ToMaster>(&bytes(&known)), None, "{known}");
        }
        for (later, kind) in [(json!("later"), "later"), (json!({ "later": { "mood": [1, { "a": null }] } }), "later")]
        {
            assert_eq!(unknown::<ToMaster>(&bytes(&later)).as_deref(), Some(kind));
        }
    }

    #[test]
    fn what_is_no_message_has_no_kind() {
        for none in [json!(7), json!([]), json!({}), json!({ "later": 1, "even_later": 2 }), json!(null)] {
            assert_eq!(unknown::<ToMaster>(&bytes(&none)), None, "{none}");
        }
        let whole = bytes(&json!({ "later": { "mood": "good" } }));
        assert_eq!(unknown::<ToMaster>(&whole[..whole.len() - 1]), None, "cut off");
    }
}
