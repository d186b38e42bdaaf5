//! The bytes of a session in its bucket: version u8, expiry i64 in Unix milliseconds, data. They may come from anybody who may write there.

use bytes::Bytes;

const VERSION: u8 = 1;

/// A session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) expires: i64,
    pub(super) data: Bytes,
}

impl Stored {
    pub(super) fn encode(&self) -> Bytes {
        [&[VERSION][..], &self.expires.to_le_bytes(), &self.data].concat().into()
    }

    pub(super) fn decode(bytes: &Bytes) -> Option<Stored> {
        let (&[version], rest) = bytes.split_first_chunk()?;
        let (expires, data) = rest.split_first_chunk().filter(|_| version == VERSION)?;
        Some(Stored { expires: i64::from_le_bytes(*expires), data: bytes.slice_ref(data) })
    }
}

/// The key of a session.
pub(super) fn key(id: &[u8]) -> String {
    hexadecimal("s.", id)
}

/// A name as a key: hexadecimal digits after these letters.
pub(super) fn hexadecimal(begin: &str, name: &[u8]) -> String {
    use std::fmt::Write;
    name.iter().fold(begin.to_owned(), |mut key, byte| {
        // Writing to a string does not fail.
        let _ = write!(key, "{byte:02x}");
        key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_as_it_was_written_and_nothing_else_is_one() {
        let stored = Stored { expires: -3, data: Bytes::from_static(b"x") };
        let bytes = stored.encode();
        assert_eq!(bytes[..], *b"\x01\xfd\xff\xff\xff\xff\xff\xff\xffx");
        assert_eq!(Stored::decode(&bytes), Some(stored));
        for damaged in [&bytes[..8], b"", b"\x02\0\0\0\0\0\0\0\0x"] {
            assert_eq!(Stored::decode(&Bytes::copy_from_slice(damaged)), None, "{damaged:?}");
        }
        assert_eq!(key(b"\x01\xff"), "s.01ff");
    }
}
