//! MessagePack's bytes as values, one after the other.

use std::io;

use rmp_serde::decode::Error;
use serde::de::{Error as _, Expected, Unexpected};

pub(super) struct Reader<'de> {
    pub(super) rest: &'de [u8],
    /// How much deeper values may stand.
    pub(super) depth: u8,
}

/// A value. Of a list or a map it is how many entries follow.
pub(super) enum Value<'de> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'de str),
    Bytes(&'de [u8]),
    List(u32),
    Map(u32),
}

impl<'de> Reader<'de> {
    /// <https://github.com/msgpack/msgpack/blob/master/spec.md>, without extension types.
    pub(super) fn next(&mut self) -> Result<Value<'de>, Error> {
        let [first] = self.array()?;
        Ok(match first {
            0x00..=0x7f => Value::Unsigned(first.into()),
            0x80..=0x8f => Value::Map(u32::from(first & 0x0f)),
            0x90..=0x9f => Value::List(u32::from(first & 0x0f)),
            0xa0..=0xbf => self.text(u32::from(first & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Bool(first == 0xc3),
            0xc4 => self.length(1).and_then(|length| self.take(length)).map(Value::Bytes)?,
            0xc5 => self.length(2).and_then(|length| self.take(length)).map(Value::Bytes)?,
            0xc6 => self.length(4).and_then(|length| self.take(length)).map(Value::Bytes)?,
            0xca => Value::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.array()?)),
            0xcc..=0xcf => Value::Unsigned(self.unsigned(1 << (first - 0xcc))?),
            0xd0..=0xd3 => Value::Signed(self.signed(1 << (first - 0xd0))?),
            0xd9 => self.length(1).and_then(|length| self.text(length))?,
            0xda => self.length(2).and_then(|length| self.text(length))?,
            0xdb => self.length(4).and_then(|length| self.text(length))?,
            0xdc => Value::List(self.length(2)?),
            0xdd => Value::List(self.length(4)?),
            0xde => Value::Map(self.length(2)?),
            0xdf => Value::Map(self.length(4)?),
            0xe0.. => Value::Signed(i8::from_be_bytes([first]).into()),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(Error::custom(format_args!("the byte {first:#04x}"))),
        })
    }

    fn take(&mut self, length: u32) -> Result<&'de [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length as usize).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn unsigned(&mut self, bytes: u32) -> Result<u64, Error> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, bytes: u32) -> Result<i64, Error> {
        let unused = u64::BITS - 8 * bytes;
        Ok(((self.unsigned(bytes)? << unused) as i64) >> unused)
    }

    fn length(&mut self, bytes: u32) -> Result<u32, Error> {
        Ok(self.unsigned(bytes)? as u32)
    }

    fn text(&mut self, length: u32) -> Result<Value<'de>, Error> {
        Ok(Value::Text(std::str::from_utf8(self.take(length)?)?))
    }

    pub(super) fn str(&mut self, expected: &dyn Expected) -> Result<&'de str, Error> {
        match self.next()? {
            Value::Text(text) => Ok(text),
            other => Err(other.refused(expected)),
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        self.rest.first() == Some(&0xc0)
    }

    /// Passes over one value with all its parts.
    pub(super) fn skip(&mut self) -> Result<(), Error> {
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            left += match self.next()? {
                Value::List(length) => u64::from(length),
                Value::Map(length) => 2 * u64::from(length),
                _ => 0,
            };
        }
        Ok(())
    }
}

#[cold]
fn cut_off() -> Error {
    Error::InvalidDataRead(io::ErrorKind::UnexpectedEof.into())
}

impl Value<'_> {
    #[cold]
    pub(super) fn refused(&self, expected: &dyn Expected) -> Error {
        let came = match *self {
            Value::Nil => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(value),
            Value::Unsigned(number) => Unexpected::Unsigned(number),
            Value::Signed(number) => Unexpected::Signed(number),
            Value::Float(number) => Unexpected::Float(number),
            Value::Text(text) => Unexpected::Str(text),
            Value::Bytes(bytes) => Unexpected::Bytes(bytes),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        };
        Error::invalid_type(came, expected)
    }
}
