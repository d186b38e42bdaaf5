//! MessagePack with named fields, written by rmp-serde, and read into types that say what has to come.
//!
//! rmp-serde's own deserializer goes by what has come, so that a program carries for each type a branch for each kind of value. That was a
//! quarter of the code of a small program. This one reads the kind that the type asks for, and refuses all others.

mod reader;

use bytes::{BufMut, Bytes, BytesMut};
use rmp_serde::decode::Error;
use rmp_serde::encode;
use serde::Serialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use self::reader::{Reader, Value};

/// How deep values may stand in each other. Reading is recursive, and the bytes come from elsewhere.
const DEEPEST: u8 = 128;

/// Writes one value.
pub fn to_message_pack(value: &impl Serialize) -> Result<Bytes, encode::Error> {
    let mut bytes = BytesMut::new();
    write_message_pack(value, &mut bytes)?;
    Ok(bytes.freeze())
}

/// Writes one value behind what is there. All goes through this, since another kind of writer would compile each type once more.
pub(super) fn write_message_pack(value: &impl Serialize, into: &mut BytesMut) -> Result<(), encode::Error> {
    encode::write_named(&mut into.writer(), value)
}

/// Reads one value; what follows it is left.
pub fn from_message_pack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    T::deserialize(&mut Reader { rest: bytes, depth: DEEPEST })
}

impl<'de> Reader<'de> {
    /// The values in a list or a map, one level deeper.
    fn parts(&mut self, left: u32) -> Result<Parts<'_, 'de>, Error> {
        self.depth = self.depth.checked_sub(1).ok_or(Error::DepthLimitExceeded)?;
        Ok(Parts { reader: self, left })
    }

    fn list(&mut self, expected: &dyn Expected) -> Result<Parts<'_, 'de>, Error> {
        match self.next()? {
            Value::List(length) => self.parts(length),
            other => Err(other.refused(expected)),
        }
    }

    fn map(&mut self, expected: &dyn Expected) -> Result<Parts<'_, 'de>, Error> {
        match self.next()? {
            Value::Map(length) => self.parts(length),
            other => Err(other.refused(expected)),
        }
    }

    /// An enumeration's value is the name of its variant, or a map from that to what it holds.
    fn variant(&mut self, expected: &dyn Expected) -> Result<Variant<'_, 'de>, Error> {
        let before = self.rest;
        match self.next()? {
            Value::Text(_) => {
                self.rest = before;
                Ok(Variant(self.parts(0)?))
            }
            Value::Map(1) => Ok(Variant(self.parts(1)?)),
            other => Err(other.refused(expected)),
        }
    }
}

/// Further methods of [`Deserializer`] for a kind of value.
macro_rules! read {
    ($read:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$read(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    /// For what holds values of any kind.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Value::Nil => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Unsigned(number) => visitor.visit_u64(number),
            Value::Signed(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Value::List(length) => self.parts(length)?.all(|parts| visitor.visit_seq(parts)),
            Value::Map(length) => self.parts(length)?.all(|parts| visitor.visit_map(parts)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Value::Bool(value) => visitor.visit_bool(value),
            other => Err(other.refused(&visitor)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Value::Unsigned(number) => visitor.visit_u64(number),
            other => Err(other.refused(&visitor)),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Value::Unsigned(number) => visitor.visit_u64(number),
            Value::Signed(number) => visitor.visit_i64(number),
            other => Err(other.refused(&visitor)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Value::Float(number) => visitor.visit_f64(number),
            // What was a whole number in an earlier release.
            Value::Unsigned(number) => visitor.visit_f64(number as f64),
            Value::Signed(number) => visitor.visit_f64(number as f64),
            other => Err(other.refused(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.str(&visitor)?;
        visitor.visit_borrowed_str(text)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Value::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            // Writers that have no type for bytes write numbers.
            Value::List(length) => self.parts(length)?.all(|parts| visitor.visit_seq(parts)),
            other => Err(other.refused(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_nil() {
            self.skip()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Value::Nil => visitor.visit_unit(),
            other => Err(other.refused(&visitor)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list(&visitor)?.all(|parts| visitor.visit_seq(parts))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(&visitor)?.all(|parts| visitor.visit_map(parts))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    read! { deserialize_u64: deserialize_u8 deserialize_u16 deserialize_u32 }
    read! { deserialize_i64: deserialize_i8 deserialize_i16 deserialize_i32 }
    read! { deserialize_f64: deserialize_f32 }
    read! { deserialize_str: deserialize_char deserialize_string deserialize_identifier }
    read! { deserialize_bytes: deserialize_byte_buf }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            // As an empty list rmp-serde writes it.
            Value::Nil | Value::List(0) => visitor.visit_unit(),
            other => Err(other.refused(&visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = self.variant(&visitor)?;
        visitor.visit_enum(variant)
    }
}

/// The parts of a value, for which the reader is one level deeper.
struct Parts<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: u32,
}

impl Parts<'_, '_> {
    /// Reads all. That parts are left is an error.
    fn all<R>(mut self, read: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        let length = self.left;
        let value = read(&mut self)?;
        if self.left > 0 {
            return Err(Error::LengthMismatch(length - self.left));
        }
        Ok(value)
    }
}

impl Drop for Parts<'_, '_> {
    fn drop(&mut self) {
        self.reader.depth += 1;
    }
}

impl<'de> SeqAccess<'de> for &mut Parts<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left as usize)
    }
}

impl<'de> MapAccess<'de> for &mut Parts<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        SeqAccess::size_hint(self)
    }
}

/// The value of an enumeration: its parts are what the variant holds, if it is written with that.
struct Variant<'a, 'de>(Parts<'a, 'de>);

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.0.reader)?, self))
    }
}

impl<'a, 'de> Variant<'a, 'de> {
    fn content(&mut self) -> Result<&mut Reader<'de>, Error> {
        if self.0.left == 0 {
            return Err(Error::custom("a variant without what it holds"));
        }
        Ok(self.0.reader)
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(mut self) -> Result<(), Error> {
        self.content().map_or(Ok(()), serde::Deserialize::deserialize)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(mut self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.content()?.deserialize_map(visitor)
    }
}

#[cfg(test)]
mod tests;
