//! The form of the 2010 library: JSON text between two bytes that no UTF-8 text begins with or contains.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    FrameError,
    format::{Format, Found, sealed::Sealed},
};

/// JSON, in the frames of the 2010 library's `frameStream`: the byte `0x00`, the message as JSON text in UTF-8, the byte
/// `0xFF`.
#[derive(Debug, Clone, Copy)]
pub struct Json;

const OPEN: u8 = 0x00;
const CLOSE: u8 = 0xff;

impl Sealed for Json {}

impl Format for Json {
    fn find(buffer: &[u8], limit: usize, scanned: &mut usize) -> Result<Option<Found>, FrameError> {
        match buffer.first() {
            None => return Ok(None),
            Some(&OPEN) => {}
            Some(_) => return Err(FrameError::foreign("a JSON frame, which begins with 00", buffer)),
        }
        let from = (*scanned).max(1);
        let close = buffer[from..].iter().position(|&byte| byte == CLOSE).map(|at| from + at);
        let size = close.unwrap_or(buffer.len()) - 1;
        if size > limit {
            return Err(FrameError::Oversize { size, limit });
        }
        *scanned = buffer.len();
        Ok(close.map(|close| Found { body: 1..close, end: close + 1 }))
    }

    fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
        serde_json::from_slice(body).map_err(|cause| FrameError::Undecodable(cause.into()))
    }

    fn append<T: Serialize + ?Sized>(message: &T, limit: usize, buffer: &mut Vec<u8>) -> Result<(), FrameError> {
        buffer.push(OPEN);
        let start = buffer.len();
        serde_json::to_writer(&mut *buffer, message).map_err(|cause| FrameError::Unencodable(cause.into()))?;
        let size = buffer.len() - start;
        if size > limit {
            return Err(FrameError::Oversize { size, limit });
        }
        buffer.push(CLOSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_just_the_limit_is_sent_and_one_byte_more_is_not() {
        let append = |limit| Json::append(&12_345_u32, limit, &mut Vec::new());
        assert!(append(5).is_ok());
        assert!(matches!(append(4), Err(FrameError::Oversize { size: 5, limit: 4 })));
    }
}
