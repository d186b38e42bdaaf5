//! The form between nodes: MessagePack with named fields, in frames with a version.

use rmp_serde::{Deserializer, Serializer};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    FrameError,
    format::{Format, Found, sealed::Sealed},
};

/// MessagePack with named fields. A frame is
///
/// | bytes | what |
/// |---|---|
/// | 1 | the mark `0xC1`, the one byte that MessagePack itself never uses |
/// | 1 | the version of this layout, `1` |
/// | 4 | the size of the message in bytes, big endian |
/// | size | the message, one MessagePack value; structs are maps from field names to values |
///
/// Since fields go by name, two programs understand each other as long as each field that one of them misses is
/// optional or has a `#[serde(default)]`; bytes after the value are ignored. No message is larger than 4 GiB, whatever
/// the limit says.
#[derive(Debug, Clone, Copy)]
pub struct MessagePack;

const MARK: u8 = 0xc1;
const VERSION: u8 = 1;
const HEADER: usize = 6;

impl Sealed for MessagePack {}

impl Format for MessagePack {
    #[inline]
    fn find(buffer: &[u8], limit: usize, _scanned: &mut usize) -> Result<Option<Found>, FrameError> {
        let Some(&[MARK, VERSION, a, b, c, d]) = buffer.first_chunk::<HEADER>() else {
            return check_beginning(buffer).map(|()| None);
        };
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        if size > limit {
            return Err(FrameError::Oversize { size, limit });
        }
        let end = HEADER.saturating_add(size);
        Ok((buffer.len() >= end).then_some(Found { body: HEADER..end, end }))
    }

    #[inline]
    fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
        let mut deserializer = Deserializer::from_read_ref(body);
        T::deserialize(&mut deserializer).map_err(|cause| FrameError::Undecodable(cause.into()))
    }

    #[inline]
    fn append<T: Serialize + ?Sized>(message: &T, limit: usize, buffer: &mut Vec<u8>) -> Result<(), FrameError> {
        let start = buffer.len();
        buffer.extend_from_slice(&[MARK, VERSION, 0, 0, 0, 0]);
        let mut serializer = Serializer::new(&mut *buffer).with_struct_map();
        message.serialize(&mut serializer).map_err(|cause| FrameError::Unencodable(cause.into()))?;
        let size = buffer.len() - start - HEADER;
        let length = u32::try_from(size).ok().filter(|_| size <= limit);
        let length = length.ok_or(FrameError::Oversize { size, limit })?;
        buffer[start + 2..start + HEADER].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

/// Judges a header that is unfinished or wrong by the bytes that are there.
#[cold]
fn check_beginning(buffer: &[u8]) -> Result<(), FrameError> {
    match *buffer {
        [] | [MARK] | [MARK, VERSION, ..] => Ok(()),
        [MARK, seen, ..] => Err(FrameError::Version { seen, known: VERSION }),
        _ => Err(FrameError::foreign("a MessagePack frame, which begins with c1 01", buffer)),
    }
}
