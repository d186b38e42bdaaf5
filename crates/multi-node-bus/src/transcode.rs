//! MessagePack as JSON, for programs in languages that read JSON.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

/// How deep values may lie in each other. Reading recurses.
const MOST_DEPTH: usize = 128;

/// The MessagePack value as JSON. Binary data becomes an array of numbers; keys of maps become strings.
pub(crate) fn message_pack_to_json(bytes: &[u8]) -> serde_json::Result<String> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MOST_DEPTH);
    serde_json::to_string(&Unread(Cell::new(Some(&mut reader))))
}

/// A value that is read while it is written.
struct Unread<D>(Cell<Option<D>>);

impl<'de, D: Deserializer<'de>> Serialize for Unread<D> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let from = self.0.take().ok_or_else(|| S::Error::custom("a value is read twice"))?;
        from.deserialize_any(WriteTo(to)).map_err(S::Error::custom)
    }
}

/// Writes what it is given.
struct WriteTo<S>(S);

macro_rules! write_simple {
    ($($visit:ident $serialize:ident $of:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, value: $of) -> Result<S::Ok, E> {
            self.0.$serialize(value).map_err(E::custom)
        })*
    };
}

impl<'de, S: Serializer> Visitor<'de> for WriteTo<S> {
    type Value = S::Ok;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    write_simple!(
        visit_bool serialize_bool bool,
        visit_i64 serialize_i64 i64,
        visit_u64 serialize_u64 u64,
        visit_f64 serialize_f64 f64,
        visit_str serialize_str &str,
        visit_bytes serialize_bytes &[u8]
    );

    fn visit_unit<E: serde::de::Error>(self) -> Result<S::Ok, E> {
        self.0.serialize_unit().map_err(E::custom)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<S::Ok, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<S::Ok, D::Error> {
        value.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<S::Ok, D::Error> {
        value.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<S::Ok, A::Error> {
        let mut to = self.0.serialize_seq(from.size_hint()).map_err(A::Error::custom)?;
        while from.next_element_seed(Element(&mut to))?.is_some() {}
        to.end().map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<S::Ok, A::Error> {
        let mut to = self.0.serialize_map(from.size_hint()).map_err(A::Error::custom)?;
        while from.next_key_seed(Key(&mut to))?.is_some() {
            from.next_value_seed(ValueOfKey(&mut to))?;
        }
        to.end().map_err(A::Error::custom)
    }
}

struct Element<'a, S>(&'a mut S);
struct Key<'a, S>(&'a mut S);
struct ValueOfKey<'a, S>(&'a mut S);

impl<'de, S: SerializeSeq> DeserializeSeed<'de> for Element<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.0.serialize_element(&Unread(Cell::new(Some(from)))).map_err(D::Error::custom)
    }
}

impl<'de, S: SerializeMap> DeserializeSeed<'de> for Key<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.0.serialize_key(&Unread(Cell::new(Some(from)))).map_err(D::Error::custom)
    }
}

impl<'de, S: SerializeMap> DeserializeSeed<'de> for ValueOfKey<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.0.serialize_value(&Unread(Cell::new(Some(from)))).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Sample<'a> {
        name: &'a str,
        number: i64,
        half: f64,
        none: Option<u8>,
        list: Vec<(u8, bool)>,
        by_number: BTreeMap<u32, &'a str>,
    }

    #[test]
    fn a_value_of_rust_reads_as_in_json() {
        let (list, by_number) = (vec![(1, true), (255, false)], BTreeMap::from([(7, "seven")]));
        let sample = Sample { name: "h\u{e9}\"\n", number: -1 << 40, half: 0.5, none: None, list, by_number };
        let bytes = rmp_serde::to_vec_named(&sample).unwrap();
        assert_eq!(message_pack_to_json(&bytes).unwrap(), serde_json::to_string(&sample).unwrap());
    }

    #[test]
    fn binary_data_is_an_array_of_numbers() {
        assert_eq!(message_pack_to_json(&[0xc4, 2, 1, 255]).unwrap(), "[1,255]");
    }

    #[test]
    fn what_is_cut_or_too_deep_is_an_error() {
        assert!(message_pack_to_json(&[]).is_err());
        assert!(message_pack_to_json(&[0x92, 1]).is_err());
        assert!(message_pack_to_json(&[0x91; 100_000]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_json_or_an_error(bytes: Vec<u8>) {
            if let Ok(text) = message_pack_to_json(&bytes) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            }
        }
    }
}
